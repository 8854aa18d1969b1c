"""Which packages there are and where they lie; all else is in `setup.cfg`.

In a checkout `dialog_env/agents` is a link to `agents`, and so on. A zip archive has no links, nor has git on Windows
as it comes; a build finds the folders themselves.
"""

from setuptools import find_packages, setup

FOLDERS = ("agents", "benchmarks", "simulators")

own = find_packages(include=["dialog_env", "dialog_env.*"], exclude=[f"dialog_env.{folder}*" for folder in FOLDERS])
below = [f"dialog_env.{name}" for folder in FOLDERS for name in find_packages(include=[folder, f"{folder}.*"])]
setup(packages=own + below, package_dir={f"dialog_env.{folder}": folder for folder in FOLDERS})
