"""Source wording: what is said of a source that is silent, in place of what is said of a target."""

from typing import Final

from kpistream.core.explanation import Happened, Next
from kpistream.notify.languages import N_

SOURCE_HEADLINES: Final = {
    Happened.SLIPS: N_("{who}, tenant {tenant}: the source is silent for {value}, and hides {hidden} people at work"),
    Happened.GOES_ON: N_("{who}, tenant {tenant}: the source is still silent"),
    Happened.MAY_SLIP: N_("{who}, tenant {tenant}: the source may be silent"),
    Happened.RECOVERS: N_("{who}, tenant {tenant}: the source is heard again, not for long enough yet"),
    Happened.RECOVERED: N_("{who}, tenant {tenant}: the source is heard again"),
    Happened.REACHED: N_("{who}, tenant {tenant}: the source is heard"),
    Happened.BEST: N_("{who}, tenant {tenant}: the source is heard"),
    Happened.NEVER_TRUE: N_("{who}, tenant {tenant}: the alert of the source was not true"),
    Happened.ENDED: N_("{who}, tenant {tenant}: the alert of the source has ended"),
    Happened.UNKNOWN: N_("{who}, tenant {tenant}: nothing is known of the source now"),
    Happened.RESTS: N_("{who}, tenant {tenant}: the silent source rests, the alert is not over"),
}
SOURCE_NEXTS: Final = {
    Next.FIRES_IF_IT_STAYS: N_("the alert fires if it stays so"),
    Next.OVER_WHEN_MET: N_("the alert is over when events have come again for five minutes"),
    Next.OVER_IF_IT_STAYS: N_("the alert is over if events go on to come"),
    Next.JUDGED_ANEW: N_("what waited because of it is told, if it is still so"),
    Next.GOES_ON_WITH_DATA: N_("the alert goes on when data come again"),
    Next.GOES_ON_AT_WORK: N_("the alert goes on when work begins again and nothing comes"),
    Next.NOTHING: N_("nothing: the source is not waited for any more"),
}
