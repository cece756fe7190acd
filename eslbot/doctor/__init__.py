"""What `eslbot check` looks at; each module returns findings. Nothing that runs is
changed; the folder of state, and the records' tables, are made where they are not there.

house      ports, Redis, disk, the folder of state, records
switch     a FreeSWITCH that is running, asked over its inbound event socket
dialplan   the dialplan's file, against what would be generated now
engines    models and providers, loaded and asked in processes as the workers' are
running    a house that is up: is it ours that answers, and how does it do?
"""

from eslbot.doctor.finding import Finding

__all__ = ["Finding"]
