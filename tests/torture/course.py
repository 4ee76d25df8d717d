"""How long a torture goes on, and how often it killed."""


def kills_in(tally):
    """The processes that were ended by SIGKILL, whatever they did just then: the service, and `tessera journal compact`."""
    return sum(times for what, times in tally.items() if what.startswith("kill -9"))


def goes_on(given, number, seconds, kills):
    """Whether another round begins after `number` of them: until so many kills as are asked for, or minutes, or rounds. Each
    round kills at least once, or something is wrong: so there are never more rounds than kills."""
    if given.kills is not None and kills >= given.kills:
        return False
    if given.minutes is not None and seconds >= 60 * given.minutes:
        return False
    most = given.rounds or given.kills or (None if given.minutes is not None else 20)
    return most is None or number < most
