"""judge.py LAYER: checks that need kas or Python; `check` runs it.

The kas files match kas's schema, and the files and layers that they name exist. The runtime cases are valid Python, depend only
on cases that exist, and run only programs that are in the image.
"""

import ast
import json
import re
import sys
from pathlib import Path

import jsonschema
import kas
import yaml

# Programs of butterdock-image: busybox as openembedded-core configures it (without truncate), systemd, btrfs-tools, butterdock.
IN_THE_IMAGE = set(
    "cat cp dd diff grep mkdir modprobe mount rm test touch umount"
    " busctl systemctl udevadm"
    " btrfs mkfs.btrfs butterdock butterdockd".split()
)

LAYER = Path(sys.argv[1]).resolve()
ROOT = LAYER.parents[1]


def kas_file(path, schema):
    text = yaml.safe_load(path.read_text())
    jsonschema.validate(text, schema)
    for include in text["header"].get("includes", []):
        assert (ROOT / include).is_file(), f"{path}: {include} is missing"
    for name in text.get("repos", {}).get("butterdock", {}).get("layers", {}):
        assert (ROOT / name / "conf/layer.conf").is_file(), f"{path}: {name} is not a layer"
    print(f"matches the schema: {path.relative_to(ROOT)}")


def commands(tree):
    """The programs that the cases run on the target."""
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("ask", "run")):
            continue
        for word in ast.walk(call.args[0]) if call.args else []:
            if isinstance(word, ast.Constant) and isinstance(word.value, str) and word.value[:1].isalpha():
                yield from (part.split()[0] for part in re.split(r"&&|\|\||\|", word.value))


def cases(path):
    tree = ast.parse(path.read_text())
    missing = set(commands(tree)) - IN_THE_IMAGE
    assert not missing, f"{path}: {missing} are not in butterdock-image"
    known = {
        f"{path.stem}.{group.name}.{case.name}"
        for group in tree.body
        if isinstance(group, ast.ClassDef)
        for case in group.body
        if isinstance(case, ast.FunctionDef) and case.name.startswith("test_")
    }
    assert known, f"{path} has no cases"
    wanted = {
        word.value
        for word in ast.walk(tree)
        if isinstance(word, ast.Constant) and isinstance(word.value, str) and word.value.startswith(f"{path.stem}.")
        and ".test_" in word.value
    }
    assert wanted <= known, f"{path}: {wanted - known} do not exist"
    print(f"{len(known)} cases: {path.relative_to(ROOT)}")


def main():
    schema = json.loads(Path(kas.__file__).with_name("schema-kas.json").read_text())
    for path in sorted(LAYER.glob("kas/*.yml")):
        kas_file(path, schema)
    for path in sorted(LAYER.glob("lib/oeqa/runtime/cases/*.py")):
        cases(path)


main()
