"""Commands, one file each: `python -m scripts.NAME`. None of them is deployed."""
