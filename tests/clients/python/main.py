"""The gRPC client for Python against a broker; prints a line of JSON for each case:

    main.py --grpc HOST:PORT --suffix NAME CASE...

The topics must be there. It exits with 1 if a case failed.
"""

import argparse
import json
import os
import sys
import threading
import time
import traceback

import consuming
import producing
from run import Run

CASES = {**producing.CASES, **consuming.CASES}
CASE_LIMIT_S = 90


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--namesrv", help="not needed")
    arguments.add_argument("--grpc", default="127.0.0.1:8081", help="address of the gRPC endpoint")
    arguments.add_argument("--suffix", default="", help="keeps the names of runs apart")
    arguments.add_argument("cases", nargs="+", metavar="CASE")
    chosen = arguments.parse_args()
    unknown = [name for name in chosen.cases if name not in CASES]
    if unknown:
        print(f"unknown cases {unknown}; known: {sorted(CASES)}", file=sys.stderr)
        leave(2)
    failed = [name for name in chosen.cases if not one(name, chosen)]
    leave(1 if failed else 0)


def one(name, chosen):
    start = time.monotonic()
    line = {"case": name, "ok": False, "detail": f"did not end within {CASE_LIMIT_S} s"}
    run = Run(chosen.grpc, chosen.suffix)
    thread = threading.Thread(target=body, args=(CASES[name], run, line), daemon=True)
    thread.start()
    thread.join(CASE_LIMIT_S)
    line["ms"] = round((time.monotonic() - start) * 1_000)
    print(json.dumps(line), flush=True)
    return line["ok"]


def body(case, run, line):
    try:
        detail = case(run)
        run.close()
        line.update(ok=True, detail=detail)
    except BaseException as failure:  # Whatever it is, it is the case's failure.
        line.update(detail=f"{type(failure).__name__}: {failure}", trace=traceback.format_exc())


def leave(code):
    """Ends the process, whatever threads the clients still have."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
