"""Outdial's numbers for why a request is refused: the `code` of every error answer.

HTTP status times 100 plus a running number, so that the status can be read off the code. A number
keeps its meaning for ever; new reasons get new numbers. docs/reference/errors.md explains each.
"""

from __future__ import annotations

MALFORMED_BODY = 40001
"""The body is not what its Content-Type says."""
MISSING_FIELD = 40002
"""A required field is absent or empty."""
BAD_VALUE = 40003
"""A field's value is not of its form."""
REPEATED_FIELD = 40004
"""A field that takes one value has several different ones."""
BAD_KEY = 40101
"""No API key, or not one that is valid."""
DESTINATION = 40301
"""The number is not under `limits.destinations`."""
PREMIUM = 40302
"""The number is premium-rate, shared-cost, personal or satellite."""
REFUSED_ADDRESS = 40303
"""The URL leads to an address or port that may not be reached."""
SIP_HOST = 40304
"""The SIP URI is at a host that is neither a trunk nor under `limits.sip_hosts`."""
DO_NOT_CALL = 40305
"""The number is in the file `policy.do_not_call`."""
CALLING_HOURS = 40306
"""It is not one of `policy.calling_hours` where the number is."""
WRONG_SCOPE = 40307
"""The API key is valid, but has not the scope that this needs."""
KEY_CALLER = 40308
"""The caller ID is not one of those that the API key may show."""
KEY_DESTINATION = 40309
"""The number is not among the destinations of the API key."""
OTHERS_CALL = 40310
"""A key that may not call everybody asks for a change of a call that it has not placed."""
UNKNOWN_PATH = 40401
"""Nothing is served there."""
UNKNOWN_CALL = 40402
"""There is no call with that sid."""
UNKNOWN_RECORDING = 40403
"""There is no recording with that sid, or its file is gone."""
UNKNOWN_PAGE = 40404
"""The cursor is not one that a page of calls gave."""
UNKNOWN_TRUNK = 40405
"""No trunk of that name is set up."""
UNKNOWN_DELIVERY = 40406
"""There is no callback with that id."""
UNKNOWN_CONFERENCE = 40407
"""No conference with that name or sid goes on."""
UNKNOWN_MEMBER = 40408
"""No call with that sid is in the conference."""
UNKNOWN_QUEUE = 40409
"""There is no queue with that name or sid."""
UNKNOWN_NUMBER = 40410
"""It is not one of the numbers that calls are taken for."""
UNKNOWN_FAX = 40411
"""There is no fax with that sid, or its file is gone."""
NOT_BANNED = 40412
"""The address is not banned."""
UNKNOWN_KEY = 40413
"""There is no valid API key of that name or id."""
BAD_METHOD = 40501
"""The path does not take this HTTP method."""
NO_MP3 = 40601
"""The recording cannot be had as MP3; it can as WAV."""
SLOW_BODY = 40801
"""The body did not arrive in time."""
STILL_PENDING = 40902
"""The callback was neither delivered nor given up yet: it is being tried."""
NUMBER_TAKEN = 40903
"""The number is one of those that calls are taken for already."""
NUMBER_OF_SETTINGS = 40904
"""The number stands in the settings: only there can it be changed."""
CALL_ENDED = 40905
"""The call has ended, or is being ended."""
NOT_ANSWERED = 40906
"""The call is not answered yet: nothing can be done to it but hang up."""
RECORDED = 40907
"""The call is being recorded already."""
NOT_RECORDED = 40908
"""The call is not being recorded."""
STILL_SENDING = 40909
"""Digits of earlier requests are still being sent."""
SECOND_LEG = 40910
"""The call is a second leg: it has no document that another one could replace."""
KEY_TAKEN = 40911
"""There is an API key of that name already."""
KEY_OF_SETTINGS = 40912
"""The API key stands in the settings: only there can it be changed."""
TOO_LARGE = 41301
"""The body is larger than `http.max_body_bytes`."""
BAD_TYPE = 41501
"""The Content-Type (or Content-Encoding, or charset) is not one that is taken."""
BAD_RANGE = 41601
"""The bytes asked for are behind the recording's end."""
IMPOSSIBLE_NUMBER = 42201
"""No telephone number looks like that."""
OUT_OF_RANGE = 42204
"""A number or a text is well formed but outside its limits."""
NO_ROUTE = 42205
"""No trunk takes the number."""
OTHER_REQUEST = 42206
"""The Idempotency-Key was used for another call."""
BAD_OVERRIDE = 42207
"""A URL's fragment has connection overrides that do not exist or are outside their limits."""
BAD_DOCUMENT = 42208
"""The document cannot be run."""
POST_RATE = 42901
"""More posts a second than `limits.posts_per_second`."""
QUEUE_FULL = 42902
"""As many calls wait as `limits.queued_calls` allows."""
TOO_MANY_STREAMS = 42903
"""As many event streams are open as this server has."""
MINUTES_USED_UP = 42904
"""The server, the key or the trunk has talked its `minutes_per_day`."""
CALLED_TOO_OFTEN = 42905
"""The number was called `policy.calls_per_number_per_day` times in the last 24 hours."""
INTERNAL = 50001
"""A defect in Outdial; the log has it."""
STORE_AWAY = 50301
"""The record could not be written now."""
DRAINING = 50302
"""The server is shutting down and takes no new calls."""
RECORDING_STAYS = 50303
"""The file of a recording that was to be deleted cannot be removed."""
MP3_AWAY = 50304
"""The recording cannot be made into MP3 now."""
KEY_LOST = 50305
"""The recording or fax is encrypted with a key that the settings do not have."""
