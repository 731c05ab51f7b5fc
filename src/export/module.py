import argparse
import csv
import datetime
import math
import re
import sys

_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity)", re.IGNORECASE)
_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2}(?:\.[0-9]+)?))?\s*(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2})?)?)?"
)
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_BLANKS = " \t\n\f\r"


def predict(row):
    """The prediction of a row: a dict of probabilities and the label, all of them None where there is none.

    Values are numbers, texts, booleans, dates, or None where they are missing; texts are read as cells of a CSV file are.
    Raises KeyError for a column that the row lacks, and ValueError for a value that is not what the column holds.
    """
    predictors = _linear_predictors(row)
    if predictors is None:
        return dict.fromkeys(OUTPUTS)
    if LINK == "logistic":
        e = math.exp(-abs(predictors[0]))
        probability = 1 / (1 + e) if predictors[0] >= 0 else e / (1 + e)
        return dict(zip(OUTPUTS, [probability, CLASSES[probability >= 0.5]]))
    # Logarithms, so that what is next to 0 in every class keeps its proportions.
    scores = [min(a, 0) - math.log1p(math.exp(-abs(a))) for a in predictors] if LINK == "ovr" else predictors
    largest = max(scores)
    log_sum = math.log(sum(math.exp(score - largest) for score in scores))
    logs = [score - largest - log_sum for score in scores]
    return dict(zip(OUTPUTS, [math.exp(log) for log in logs] + [CLASSES[logs.index(max(logs))]]))


def _linear_predictors(row):
    predictors = list(INTERCEPTS)
    complete = True
    for name, column in COLUMNS.items():
        if name not in row:
            raise KeyError(f"the row has no column {name!r}")
        try:
            adds = _ADDS[column["kind"]](row[name], column)
        except ValueError as error:
            raise ValueError(f"column {name!r}: {error}") from None
        if adds is None:
            complete = False
        else:
            predictors = [a + add for a, add in zip(predictors, adds)]
    return predictors if complete else None


def _number(value, column):
    text = _text(value)
    x = column["fill"] if text is None else _parsed(text)
    if x is None:
        if text is None:
            return None
        raise ValueError(f"{value!r} is not a number")
    if math.isinf(x):
        raise ValueError(f"{value!r} is infinite or too large for a number")
    return [coefficient * x for coefficient in column["coefficients"]]


def _date(value, column):
    text = _text(value)
    x = column["fill"] if text is None else _days(text)
    if x is None:
        return None
    return [coefficient * x for coefficient in column["coefficients"]]


def _level(value, column):
    text = _text(value)
    adds = column["adds"].get(text)
    if adds is None and text is not None and column["by_number"]:
        numbers = column.setdefault("numbers", {_parsed(level): adds for level, adds in column["adds"].items()})
        adds = numbers.get(_parsed(text))
    return column["missing"] if adds is None else adds


def _hashed(value, column):
    text = _text(value)
    if text is None:
        return column["missing"]
    # FNV-1a, mixed by splitmix64.
    z = 0xCBF29CE484222325
    for byte in text.encode():
        z = ((z ^ byte) * 0x100000001B3) % 2**64
    z = (z + 0x9E3779B97F4A7C15) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return column["adds"][(z ^ (z >> 31)) >> (64 - column["bits"])]


_ADDS = {"number": _number, "date": _date, "levels": _level, "hashed": _hashed}


def _text(value):
    """The text that a value is in a CSV file, without blanks around it; None where it is missing."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip(_BLANKS)
    return None if text.lower() in MISSING else text


def _parsed(text):
    """The number that a text spells, or None; single quotes around it are looked through."""
    if len(text) >= 2 and text[0] == text[-1] == "'":
        text = text[1:-1]
    return float(text) if _NUMBER.fullmatch(text) else None


def _days(text):
    """Days since 1970-01-01 of a date, or date and time, in ISO 8601; UTC unless it says otherwise."""
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a date (2013-01-31, 2013-01-31T10:00:00Z)")
    day, hours, minutes, seconds, sign, ahead_hours, ahead_minutes = match.groups()
    ahead = (60 * int(ahead_hours or 0) + int(ahead_minutes or 0)) * (-1 if sign == "-" else 1)
    hours, minutes, seconds = int(hours or 0), int(minutes or 0), float(seconds or 0)
    if hours > 23 or minutes > 59 or seconds >= 61:
        raise ValueError(f"{text!r} is not a time of day")
    days = datetime.date.fromisoformat(day).toordinal() - _EPOCH
    return days + (3600 * hours + 60 * (minutes - ahead) + seconds) / 86400


def _main():
    parser = argparse.ArgumentParser(description="Predictions of the rows of CSV files.")
    parser.add_argument("files", nargs="*", default=["-"], help="CSV with the columns of the model; - is standard input")
    parser.add_argument("--keep", metavar="COL,..", default="", help="columns to carry through")
    arguments = parser.parse_args()
    keep = [name.strip() for name in arguments.keep.split(",") if name.strip()]
    csv.field_size_limit(2**31 - 1)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(keep + OUTPUTS)
    for path in arguments.files:
        with open(0 if path == "-" else path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = None
            for cells in reader:
                if names is None:
                    names = [HEADER and cell.strip(_BLANKS) or f"c{i}" for i, cell in enumerate(cells, 1)]
                    if HEADER:
                        continue
                if not cells:
                    continue
                row = dict(zip(names, cells))
                try:
                    prediction = predict(row)
                    kept = [row[name].strip(_BLANKS) for name in keep]
                except (KeyError, ValueError) as error:
                    raise SystemExit(f"error: {path}, line {reader.line_num}: {error.args[0]}") from None
                writer.writerow(kept + ["" if value is None else value for value in prediction.values()])


if __name__ == "__main__":
    _main()
