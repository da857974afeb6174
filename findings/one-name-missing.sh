#!/usr/bin/env bash
# llvmlite's linker (MCJIT) says nothing when object code names a function that nobody has. One would expect an error, or at
# least that the other names are found: but then the others get the address 0, too, also those that it finds by itself
# when none is missing. Here a pointer to memset, which a compiler may well make of a loop, is looked at beside a pointer
# to a function that does not exist; nothing is called.
#
# Seen: with the missing name the pointer to memset is 0 and finalize_object raises nothing; without it, it is memset's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check llvmlite==0.50.0
"$work/venv/bin/python" - <<'PY'
import ctypes

import llvmlite
import llvmlite.binding as llvm

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
KNOWN = """
declare ptr @memset(ptr, i32, i64)
@known = global ptr @memset
"""
MISSING = """
declare void @nobody_has_this()
@missing = global ptr @nobody_has_this
"""


def machine():
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(jit=True, codemodel="jitdefault")


def address_of_memset(text):
    code = machine().emit_object(llvm.parse_assembly(text))
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return ctypes.c_uint64.from_address(engine.get_global_value_address("known")).value


alone, beside = address_of_memset(KNOWN), address_of_memset(KNOWN + MISSING)
print("llvmlite", llvmlite.__version__)
print("memset alone:                 ", "an address" if alone else 0)
print("memset beside a missing name: ", "an address" if beside else 0)
assert alone and not beside
PY
