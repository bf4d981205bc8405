"""Runs MiniStack as the leader of its process group, and ends the group when its starter is gone.

    launch.py attached|detached RUN_FOLDER

attached: standard input is a pipe whose other end the starter holds, and never writes to. It closes
when the starter ends, however that happens (SIGKILL included), and then the run folder is removed and
the whole group killed: no server and no function outlives the command that started it.
detached: MiniStack stays until the group is told to stop, and then removes its run folder itself.
"""

import os
import shutil
import signal
import sys
import threading

mode, run_folder = sys.argv[1:]


def outlive_nobody() -> None:
    os.read(0, 1)
    shutil.rmtree(run_folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if mode == "attached":
    threading.Thread(target=outlive_nobody, daemon=True).start()

# mend.py lies beside this file, and Python's isolated mode does not look there by itself.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# MiniStack reads its own arguments; it has none.
sys.argv = ["ministack"]

from mend import mend  # noqa: E402
from ministack.app import main  # noqa: E402

mend()

try:
    main()
finally:
    if mode == "detached":
        shutil.rmtree(run_folder, ignore_errors=True)
