"""The windows of reset periods, as Python knows them: python3 windows.py > windows.tsv

Each row says in which window an instant lies, for a tenant in a time zone. Nothing here comes from the code that is tested: dates
are found by walking a zone's clock minute by minute. Time zones are those of Python's zoneinfo: what the machine has in
/usr/share/zoneinfo (the system's package tzdata), or else PyPI's package tzdata; Rust has those that are built into jiff. So all
instants are such as any of these knows alike: until the spring of 2026, and later only where clocks are never changed. Releases
2024a to 2026e of the database give the same table.
"""

import sys
from datetime import date, datetime, timedelta, timezone
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# Days on which something happens to the clocks of a zone, or that are like any other.
DAYS = {
    # Always the same, and the farthest apart.
    "UTC": ["1900-02-28", "1968-02-29", "1969-12-31", "1970-01-01", "2000-02-29", "2023-02-28", "2024-06-15", "2100-02-28"],
    "Etc/GMT+12": ["1999-12-31", "2000-02-29", "2023-02-28", "2024-06-15", "2100-02-28"],
    "Pacific/Kiritimati": ["1994-12-30", "1994-12-31", "1995-01-01", "2024-06-15"],  # without 31 December 1994
    "Asia/Kathmandu": ["1999-12-31", "2000-02-29", "2023-02-28", "2024-06-15"],  # +05:45
    # An hour forward in spring and back in autumn, by night.
    "Europe/Berlin": ["1990-03-25", "1995-09-24", "2024-03-31", "2024-10-27", "2025-03-30", "2025-10-26", "2026-03-29"],
    "America/New_York": ["1990-04-01", "2006-10-29", "2007-03-11", "2024-03-10", "2024-11-03", "2026-03-08"],
    "Pacific/Chatham": ["2024-04-07", "2024-09-29"],  # +12:45
    # Two hours, or half an hour.
    "Antarctica/Troll": ["2024-03-31", "2024-10-27", "2025-03-30", "2025-10-26"],
    "Australia/Lord_Howe": ["2024-04-07", "2024-10-06", "2025-04-06", "2025-10-05"],
    # Summer time is the standard one, and winter an hour less; or Ramadan.
    "Europe/Dublin": ["1990-10-28", "2024-03-31", "2024-10-27", "2025-03-30"],
    "Africa/Casablanca": ["2018-10-28", "2023-03-19", "2023-04-23", "2024-03-10", "2024-04-14", "2025-02-23", "2025-04-06"],
    # Midnight doesn't exist in spring, and eleven in the evening comes twice in autumn.
    "America/Sao_Paulo": ["2017-10-15", "2018-02-17", "2018-02-18", "2018-11-03", "2018-11-04", "2019-02-16"],
    "Asia/Beirut": ["2022-03-27", "2022-10-29", "2023-03-30", "2024-03-31", "2024-10-26"],
    "Africa/Cairo": ["2023-04-28", "2023-10-26", "2024-04-26", "2024-10-31", "2025-04-25", "2025-10-30"],
    "Asia/Tehran": ["2022-03-22", "2022-09-21", "2024-03-20"],
    "America/Santiago": ["2024-04-06", "2024-09-08"],
    "Asia/Damascus": ["2005-04-01", "2005-09-30"],  # where a month begins
    # Midnight doesn't exist in spring, and comes twice in autumn.
    "America/Havana": ["2012-04-01", "2012-11-04", "2024-03-10", "2024-11-03", "2025-03-09", "2025-11-02"],
    "Atlantic/Azores": ["2024-03-31", "2024-10-27"],
    # Midnight comes twice, and between lies an hour of the day before, a minute or two hours after the date began.
    "America/St_Johns": ["1988-04-03", "1988-10-29", "1988-10-30", "2006-10-28", "2006-10-29", "2009-11-01", "2010-11-07"],
    "Antarctica/Casey": ["2009-10-18", "2010-03-04", "2010-03-05", "2010-03-06"],
    # The offset changed for good.
    "America/Caracas": ["2007-12-09", "2016-05-01"],
    "Asia/Pyongyang": ["2015-08-14", "2015-08-15", "2018-05-04", "2018-05-05"],
    # Days that were skipped: 30 December 2011 and 21 August 1993.
    "Pacific/Apia": ["2010-09-26", "2011-04-02", "2011-12-28", "2011-12-29", "2011-12-30", "2011-12-31", "2012-04-01"],
    "Pacific/Kwajalein": ["1993-08-20", "1993-08-21", "1993-08-22"],
}
# Days that are looked at in every zone, as are their months: around the ends of years, and of Februaries of all kinds.
DAYS_EVERYWHERE = ["2024-02-29", "2024-12-31"]
MONTHS_EVERYWHERE = ["2023-02-01", "2024-02-01", "2024-12-01"]
# Instants that are looked at for every period; hours and minutes are the same everywhere.
INSTANTS = {
    "UTC": ["1900-02-28T23:59:59.999999", "1969-12-31T23:59:59.999999", "1970-01-01T00:00:00", "2024-06-15T12:34:56.789"],
    "Asia/Kathmandu": ["1969-12-31T23:14:59.5", "2024-06-15T12:14:59.999999", "2024-06-15T12:15:00"],
    "Australia/Lord_Howe": ["2024-04-06T14:45:30", "2024-04-06T15:15:30", "2024-10-05T15:45:30"],
    "Europe/Berlin": ["2024-03-31T00:59:59.999999", "2024-03-31T01:00:00", "2024-10-27T01:30:00", "2016-12-31T23:59:59.999999"],
    "Pacific/Apia": ["2011-12-30T09:59:59.999999", "2011-12-30T10:00:00"],
    # While it is the day before once more, and then not any longer; once also the month before.
    "America/St_Johns": ["2006-10-29T02:31:00", "2006-10-29T03:29:59.999999", "2009-11-01T02:31:00", "2009-11-01T03:30:00"],
    "Antarctica/Casey": ["2010-03-04T15:00:00", "2010-03-04T15:59:59.999999", "2010-03-04T16:00:00"],
}


def shown(zone, instant):
    """The date that the calendar shows in a zone at an instant."""
    return instant.astimezone(ZoneInfo(zone)).date()


@cache
def beginning(zone, day):
    """The first minute at which the calendar shows this date or a later one."""
    instant = datetime(day.year, day.month, day.day, tzinfo=timezone.utc) - DAY
    assert shown(zone, instant) < day
    while shown(zone, instant) < day:
        instant += MINUTE
    return instant


def next_month(day):
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def window(zone, period, now):
    """The window that an instant lies in: its start, and the start of the next."""
    if period == "never":
        return EPOCH, None
    if period == "hour":
        start = now.replace(minute=0, second=0, microsecond=0)
        return start, start + HOUR
    if period == "minute":
        start = now.replace(second=0, microsecond=0)
        return start, start + MINUTE
    # Any clock is at most a day away; of the spans of those dates, it is the one that `now` lies in.
    days = [now.date() + DAY * n for n in range(-2, 3)]
    if period == "day":
        spans = {(day, day + DAY) for day in days}
    else:
        spans = {(day.replace(day=1), next_month(day)) for day in days}
    spans = {(beginning(zone, first), beginning(zone, after)) for first, after in spans}
    [found] = [(start, end) for start, end in spans if start <= now < end]
    return found


def probes(zone, period, day):
    """Instants around the span of a date: its first, its middle, its last, and the one after."""
    after = day + DAY if period == "day" else next_month(day)
    start, end = beginning(zone, day), beginning(zone, after)
    return [start, start + (end - start) / 2, end - MICROSECOND, end]


def rows():
    for zone, days in DAYS.items():
        for day in days + DAYS_EVERYWHERE:
            for now in probes(zone, "day", date.fromisoformat(day)):
                yield zone, "day", now
        months = [day[:8] + "01" for day in days]
        for month in months + MONTHS_EVERYWHERE:
            for now in probes(zone, "month", date.fromisoformat(month)):
                yield zone, "month", now
    for zone, instants in INSTANTS.items():
        for instant in instants:
            at = datetime.fromisoformat(instant).replace(tzinfo=timezone.utc)
            for period, length in [("hour", HOUR), ("minute", MINUTE)]:
                start, end = window(zone, period, at)
                for now in [start, at, end - MICROSECOND, end]:
                    yield zone, period, now
            for period in ["month", "day", "never"]:
                yield zone, period, at


def written(instant):
    return "-" if instant is None else instant.isoformat().replace("+00:00", "Z")


def main():
    print("zone", "period", "now", "start", "end", sep="\t")
    # Each once, in order.
    for zone, period, now in dict.fromkeys(rows()):
        instants = [now, *window(zone, period, now)]
        print(zone, period, *map(written, instants), sep="\t")


if __name__ == "__main__":
    try:
        main()
    except ZoneInfoNotFoundError as error:
        sys.exit(f"{error}: install the package tzdata, where time zones come from")
