"""Runs an export on rows and prints what it predicts, as `gpulogit predict` would write it.

    check.py LANGUAGE EXPORT ROWS.csv KINDS.json

KINDS names the columns of the model in order, each "number", "date" or "text". LANGUAGE is python, c, sqlite or pmml, for which
the standard library and cc suffice, or duckdb or onnx, which need the packages of these names (and onnxruntime).
"""

import csv
import datetime
import json
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

MISSING = {"", "NA"}


def value(cell, kind):
    """A cell as the exports take it: a float, a text, or None where it is missing."""
    if cell in MISSING:
        return None
    if kind == "number":
        return float(cell)
    if kind == "date":
        return (datetime.datetime.fromisoformat(cell) - datetime.datetime(1970, 1, 1)) / datetime.timedelta(days=1)
    return cell


def run_python(export, rows, kinds, path):
    """As a program, which must say what the module says of the same rows as dicts of typed values."""
    program = subprocess.run([sys.executable, export, path], check=True, capture_output=True, encoding="utf-8")
    outputs, *predictions = csv.reader(program.stdout.splitlines())
    module = {}
    exec(compile(open(export, encoding="utf-8").read(), export, "exec"), module)
    typed = []
    for row in rows:
        for name, kind in kinds.items():
            if kind == "date" and row[name] is not None:
                row[name] = datetime.datetime(1970, 1, 1) + datetime.timedelta(days=row[name])
        typed.append(["" if cell is None else str(cell) for cell in module["predict"](row).values()])
    assert typed == predictions, "the module and the program differ"
    return outputs, predictions


def run_c(export, rows, kinds, _):
    def literal(cell, kind):
        if kind != "text":
            return "NAN" if cell is None else repr(cell)
        return "NULL" if cell is None else '"' + "".join(f"\\{byte:03o}" for byte in cell.encode()) + '"'

    lines = ["{" + ", ".join(literal(row[name], kinds[name]) for name in kinds) + "}" for row in rows]
    source = f"""
        #include <stdio.h>
        #include "{os.path.abspath(export)}"
        static const struct gpulogit_row rows[] = {{ {", ".join(lines)} }};
        int main(void)
        {{
            for (int i = 0; i < {len(rows)}; i++) {{
                double p[GPULOGIT_PROBABILITIES];
                int label = gpulogit_predict(&rows[i], p);
                for (int k = 0; k < GPULOGIT_PROBABILITIES; k++) printf("%.17g,", p[k]);
                printf("\\"%s\\"\\n", label < 0 ? "" : gpulogit_classes[label]);
            }}
            return 0;
        }}"""
    warnings = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    program = os.path.abspath(export + ".program")
    subprocess.run(["cc", *warnings, "-x", "c", "-", "-o", program, "-lm"], input=source, check=True, encoding="utf-8")
    printed = subprocess.run([program], check=True, capture_output=True, encoding="utf-8").stdout
    return None, [blank(line) for line in csv.reader(printed.splitlines())]


def blank(cells):
    """NaN as an empty cell."""
    return ["" if cell is None or cell == "nan" or cell != cell else str(cell) for cell in cells]


def run_sql(connection, export, rows, kinds):
    quoted = ['"' + name.replace('"', '""') + '"' for name in kinds]
    types = ["TEXT" if kind == "text" else "DOUBLE" for kind in kinds.values()]
    # Columns of its own behind those of the model must do no harm.
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(quoted, types))
    connection.execute(f"CREATE TABLE input_rows ({columns}, gpulogit_predictor_1 DOUBLE, number INTEGER)")
    cells = [[row[name] for name in kinds] + [7.0, i] for i, row in enumerate(rows)]
    connection.executemany(f"INSERT INTO input_rows VALUES ({', '.join('?' * (len(kinds) + 2))})", cells)
    result = connection.execute(open(export, encoding="utf-8").read())
    names = [column[0] for column in result.description]
    numbers = names.index("number")
    outputs = [i for i in range(numbers + 1, len(names)) if not names[i].startswith("gpulogit_")]
    found = sorted(result.fetchall(), key=lambda row: row[numbers])
    return [names[i] for i in outputs], [blank(row[i] for i in outputs) for row in found]


def run_sqlite(export, rows, kinds, _):
    import sqlite3

    return run_sql(sqlite3.connect(":memory:"), export, rows, kinds)


def run_duckdb(export, rows, kinds, _):
    import duckdb

    return run_sql(duckdb.connect(), export, rows, kinds)


def run_onnx(export, rows, kinds, _):
    import numpy
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(export), full_check=True)
    session = onnxruntime.InferenceSession(export)
    feeds = {}
    for column in session.get_inputs():
        cells = [row[column.name] for row in rows]
        if column.type == "tensor(string)":
            feeds[column.name] = numpy.array([[cell or ""] for cell in cells], dtype=object)
        else:
            feeds[column.name] = numpy.array([[math.nan if cell is None else cell] for cell in cells], dtype=float)
    assert list(feeds) == list(kinds), "the inputs are not the columns of the model"
    probabilities, labels = session.run(None, feeds)
    return None, [blank([*ys, *label]) for ys, label in zip(probabilities.tolist(), labels.tolist())]


def run_pmml(export, rows, _kinds, _):
    document = Pmml(ElementTree.parse(export).getroot())
    predictions = [document.predict(row) for row in rows]
    return document.outputs, [blank(prediction) for prediction in predictions]


class Invalid(Exception):
    """What PMML calls an invalid result."""


class Pmml:
    """What PMML 4.4 says of the elements that the export uses; any other is an error."""

    SPACE = "{http://www.dmg.org/PMML-4_4}"
    NUMBER_FUNCTIONS = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "exp": math.exp,
        "ln": math.log,
        "lessThan": lambda a, b: a < b,
    }

    def __init__(self, root):
        self.fields = {}
        for field in self.find(root, "DataDictionary"):
            kind = field.get("dataType")
            read = float if kind == "double" else str
            values = [read(v.get("value")) for v in field.findall(self.SPACE + "Value")]
            interval = field.find(self.SPACE + "Interval")
            margins = None if interval is None else [float(interval.get(side)) for side in ("leftMargin", "rightMargin")]
            self.fields[field.get("name")] = (read, values, margins)
        model = self.find(root, "RegressionModel")
        self.normalization = model.get("normalizationMethod")
        self.schema = self.find(model, "MiningSchema")
        self.features = list(self.find(model, "Output"))
        self.outputs = [feature.get("name") for feature in self.features]
        derived = model.find(self.SPACE + "LocalTransformations")
        self.derived = [] if derived is None else list(derived)
        self.tables = model.findall(self.SPACE + "RegressionTable")

    def find(self, element, tag):
        return next(child for child in element if child.tag == self.SPACE + tag)

    def predict(self, row):
        try:
            known = self.prepared(row)
            for field in self.derived:
                known[field.get("name")] = self.evaluated(field[0], known)
            scores = [self.score(table, known) for table in self.tables]
        except Invalid:
            return [None] * len(self.outputs)
        if self.normalization == "logit":
            first = 1 / (1 + math.exp(-scores[0])) if scores[0] > -700 else 0.0
            shares = [first, 1 - first]
        else:
            powers = [math.exp(score - max(scores)) for score in scores]
            shares = [power / sum(powers) for power in powers]
        of_class = dict(zip((table.get("targetCategory") for table in self.tables), shares))
        label = max(of_class, key=of_class.get)
        return [of_class[f.get("value")] if f.get("feature") == "probability" else label for f in self.features]

    def prepared(self, row):
        known = {}
        for field in self.schema:
            name = field.get("name")
            if field.get("usageType") == "target":
                continue
            read, values, margins = self.fields[name]
            x = row[name]
            if x is not None:
                x = read(x)
                valid = x in values if values else margins[0] <= x <= margins[1]
                if not valid and field.get("invalidValueTreatment") != "asMissing":
                    raise Invalid
                x = x if valid else None
            if x is None and field.get("missingValueTreatment") == "returnInvalid":
                raise Invalid
            known[name] = read(field.get("missingValueReplacement")) if x is None else x
        return known

    def evaluated(self, element, known):
        tag = element.tag.removeprefix(self.SPACE)
        if tag == "Constant":
            return float(element.text)
        if tag == "FieldRef":
            return known[element.get("field")]
        if tag == "MapValues":
            pair, table = element
            x = known[pair.get("field")]
            read = self.fields[pair.get("field")][0]
            rows = [[cell.text or "" for cell in row] for row in table]
            return next(float(adds) for level, adds in rows if read(level) == x)
        assert tag == "Apply", tag
        function = element.get("function")
        if function == "if":
            condition, then, otherwise = element
            return self.evaluated(then if self.evaluated(condition, known) else otherwise, known)
        return self.NUMBER_FUNCTIONS[function](*(self.evaluated(child, known) for child in element))

    def score(self, table, known):
        score = float(table.get("intercept"))
        for predictor in table:
            x, coefficient = known[predictor.get("name")], float(predictor.get("coefficient"))
            if predictor.tag == self.SPACE + "NumericPredictor":
                score += coefficient * x
            elif self.fields[predictor.get("name")][0](predictor.get("value")) == x:
                score += coefficient
        return score


def main(language, export, path, kinds):
    kinds = json.load(open(kinds, encoding="utf-8"))
    with open(path, encoding="utf-8", newline="") as file:
        rows = [{name: value(cell, kinds[name]) for name, cell in row.items() if name in kinds} for row in csv.DictReader(file)]
    outputs, predictions = globals()["run_" + language](export, rows, kinds, path)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    # Languages whose results have no names get empty ones.
    writer.writerow(outputs or [""] * len(predictions[0]))
    writer.writerows(predictions)


if __name__ == "__main__":
    main(*sys.argv[1:])
