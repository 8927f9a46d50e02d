"""Other people's tools on a bundle's signature, provenance and bill of materials.

    python supply_chain.py STATE_DIR
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from bundle import published_run
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement


def signature_holds(bundle, key):
    command = [
        sys.executable, "-m", "model_signing", "verify", "key", "--signature", str(bundle / "model.sig"),
        "--public_key", str(key), str(bundle),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def check_signature(state, bundle):
    key = state / "signing.pub"
    intact = signature_holds(bundle, key)
    assert intact.returncode == 0, intact.stdout + intact.stderr
    for change in ("a byte", "a file"):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(shutil.copytree(bundle, pathlib.Path(folder) / "bundle"))
            if change == "a byte":
                (copy / "model_card.md").write_text("# Another card\n")
            else:
                (copy / "notes.txt").write_text("trust me\n")
            assert signature_holds(copy, key).returncode != 0, f"{change} was changed and the signature holds"
    print("signature: model_signing accepts it, and refuses a changed and an added file")


def check_provenance(bundle):
    text = (bundle / "provenance.intoto.json").read_text()
    found = json_format.Parse(text, statement_pb2.Statement())
    Statement.copy_from_pb(found).validate()
    assert found.predicate_type == "https://slsa.dev/provenance/v1", found.predicate_type
    definition = json.loads(text)["predicate"]["buildDefinition"]
    dependencies = definition["resolvedDependencies"]
    assert len(dependencies) >= 4 and all(len(of["digest"]["sha256"]) == 64 for of in dependencies), dependencies
    print(f"provenance: an in-toto Statement with {len(found.subject)} subjects and {len(dependencies)} dependencies")


def check_bill(bundle):
    text = (bundle / "bom.json").read_text()
    version = json.loads(text)["specVersion"]
    error = JsonStrictValidator(SchemaVersion.from_version(version)).validate_str(text)
    assert error is None, error
    print(f"bill of materials: valid CycloneDX {version}")


def main(state):
    bundle = published_run(state) / "bundle"
    check_signature(state, bundle)
    check_provenance(bundle)
    check_bill(bundle)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
