"""Which settings of a topic could lose what the broker has confirmed."""

from kpistream.log.admin import _durability_faults


def test_one_confirmed_copy_of_three_is_not_enough() -> None:
    configs = {"kpi.events": {"min.insync.replicas": "1", "unclean.leader.election.enable": "false"}}

    assert _durability_faults("kpi.events", 3, configs) == [
        "topic 'kpi.events': min.insync.replicas is 1, must be 2 with 3 replicas: "
        "accepted events could be lost with a broker"
    ]


def test_more_confirmed_copies_than_needed_are_fine() -> None:
    configs = {"kpi.events": {"min.insync.replicas": "3", "unclean.leader.election.enable": "false"}}

    assert _durability_faults("kpi.events", 3, configs) == []


def test_a_replica_that_lags_may_not_be_elected() -> None:
    configs = {"kpi.events": {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}}

    assert _durability_faults("kpi.events", 1, configs) == [
        "topic 'kpi.events': unclean.leader.election.enable is true, must be false with 1 replicas: "
        "accepted events could be lost with a broker"
    ]


def test_a_broker_that_tells_no_settings_is_not_accused() -> None:
    assert _durability_faults("kpi.events", 1, {}) == []
