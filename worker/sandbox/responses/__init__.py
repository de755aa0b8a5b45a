"""What Kili takes for a json_response, and how far two of them agree.

Written from Kili's public material and from nothing of the worker: a judge must not share the faults of the judged.
"""
