#!/usr/bin/env python3
"""A till's side of the store agent, as small as it can be and still lose nothing. Python 3.8 or newer, nothing else.

    till.py --agent http://127.0.0.1:7070 --token-file till-3.token --outbox outbox.ndjson < documents.ndjson

Each line of the input is one document, as docs/operating/agent.md describes it. A line is first written to the outbox, on disk; from
then on it is not lost. What is in the outbox is sent, oldest first, again and again until the agent has answered for it; sent twice it
counts once, because its reference names it. What the agent refuses for good lies in the outbox's neighbour `….refused`, with the reason.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request

ANSWER_WITHIN_S = 35  # the agent says 503 after 30
PAUSE_MAX_S = 30
# Sent again, the same would be refused again.
REFUSED = (400, 409, 413, 422)


class Till:
    """One process at a time may use an outbox."""

    def __init__(self, agent, token_file, outbox):
        self.url = agent.rstrip("/") + "/v1/movements"
        self.token_file = token_file
        self.outbox = outbox

    def record(self, text):
        """Takes one document as JSON. When this returns, it is on disk."""
        json.loads(text)
        append(self.outbox, text.strip())

    def send(self):
        """Sends what waits, oldest first, up to the first that gets no answer. Returns how many still wait."""
        waiting = lines(self.outbox)
        done = 0
        for text in waiting:
            if not self.is_answered(text):
                break
            done += 1
        if done:
            replace(self.outbox, waiting[done:])
        return len(waiting) - done

    def is_answered(self, text):
        """False: nobody knows whether it was recorded, so it has to be sent again."""
        with open(self.token_file, encoding="utf-8") as file:
            token = file.read().strip()
        headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url, text.encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S) as answer:
                return answer.status in (200, 201)
        except urllib.error.HTTPError as refused:
            reason = refused.read().decode("utf-8", "replace")
            print(f"till: {refused.code}: {reason}", file=sys.stderr)
            if refused.code in REFUSED:
                append(self.outbox + ".refused", json.dumps({"document": text, "status": refused.code, "reason": reason}))
                return True
        except OSError as error:
            print(f"till: {error}", file=sys.stderr)
        return False


def append(path, line):
    """Adds a line, on disk when this returns. A line that a power cut has torn stays a line of its own."""
    with open(path, "a+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        torn = size > 0 and file.read(1) != b"\n"
        file.write((b"\n" if torn else b"") + line.replace("\n", " ").encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if size == 0:
        sync_folder(path)


def lines(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line.strip() for line in file if line.strip()]
    except FileNotFoundError:
        return []


def replace(path, rest):
    """Whole or not at all: a crash in between costs a sale sent twice, which counts once."""
    draft = path + ".new"
    with open(draft, "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in rest)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    sync_folder(path)


def sync_folder(path):
    """A new name is on disk once its folder is."""
    if os.name == "nt":
        return  # folders can't be opened there
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def main():
    parser = argparse.ArgumentParser(description="Reports documents to the store agent and loses none.")
    parser.add_argument("--agent", default="http://127.0.0.1:7070")
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--outbox", required=True)
    parser.add_argument("--once", action="store_true", help="try once; what gets no answer waits for the next call")
    asked = parser.parse_args()
    till = Till(asked.agent, asked.token_file, asked.outbox)
    for line in sys.stdin:
        if line.strip():
            till.record(line)
    pause = 1
    while till.send():
        if asked.once:
            return 1
        time.sleep(pause)
        pause = min(2 * pause, PAUSE_MAX_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
