"""Public holidays: which dates are free by law, by country and subdivision.

The dates are those of the library `holidays`, in its pinned release: every role knows the same days, whatever the
language of its machine is. Only days that are free for everybody count, observed days included.
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Final

from kpistream.core.yaml_nodes import near

_ENGLISH: Final = "en_US"


@lru_cache(maxsize=1024)
def public_holidays(country: str, subdivision: str | None, year: int) -> Mapping[date, str]:
    """Names of the public holidays of a year by date, in English where the library has it.

    `country` is an ISO 3166-1 code of two letters, `subdivision` one of the library's. A year that the library does not
    cover has none. Raises: ValueError for a country or subdivision that it does not know.
    """
    # Not at the top: it takes 0.2 s, which every command would pay.
    from holidays import country_holidays

    if re.fullmatch("[A-Z]{2}", country) is None:
        raise ValueError(f'"{country}" is no country, write its two letters, such as DE')
    try:
        found = country_holidays(country, subdiv=subdivision, years=year, expand=False, language=_ENGLISH)
        if _ENGLISH not in (found.supported_languages or ()) and found.default_language is not None:
            found = country_holidays(
                country, subdiv=subdivision, years=year, expand=False, language=found.default_language
            )
    except NotImplementedError as error:
        raise ValueError(_unknown(country, subdivision)) from error
    return dict(sorted(found.items()))


def _unknown(country: str, subdivision: str | None) -> str:
    from holidays import list_supported_countries

    known = list_supported_countries()
    if country not in known:
        return f'no public holidays are known of country "{country}"'
    among = known[country]
    return f'"{subdivision}" is no subdivision of {country}{near(str(subdivision), among) or ": " + ", ".join(among)}'
