#!/usr/bin/env bash
# A script that an extension adds to all pages should stand in each of them once, whenever it is added. Sphinx writes a
# script with a body twice if it is added when the builder is there already, as sphinx-thebe adds its settings: constants,
# and declaring a constant twice is a SyntaxError in the console of each page of each book that has the extension, as all
# of jupyter-book 1.x have.
#
# Seen: a script added during setup stands there once, one added before the sources are read twice, sphinx-thebe's too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check sphinx==7.4.7 sphinx-thebe==0.3.1
mkdir "$work/source"
cat > "$work/source/conf.py" <<'PY'
project = "One page"
extensions = ["sphinx_thebe"]


def before_reading(app, env, docnames):
    app.add_js_file(None, body="const added_late = 1")


def setup(app):
    app.add_js_file(None, body="const added_early = 1")
    app.connect("env-before-read-docs", before_reading)
PY
printf 'A page\n======\n\nText.\n' > "$work/source/index.rst"
"$work/venv/bin/python" -m sphinx -q -b html "$work/source" "$work/out"
for expected in "added_early 1" "added_late 2" "THEBE_JS_URL 2" "thebe_selector 2"; do
  read -r name times <<< "$expected"
  found=$(grep -o "const $name " "$work/out/index.html" | wc -l)
  echo "const $name: $found"
  [ "$found" -eq "$times" ]
done
