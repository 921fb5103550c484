"""All faults of carriers, by name."""

from __future__ import annotations

from outdial.testing.carrier.answers import ANSWERS
from outdial.testing.carrier.dialogs import DIALOGS
from outdial.testing.carrier.digests import DIGESTS
from outdial.testing.carrier.domains import DOMAINS
from outdial.testing.carrier.encryption import ENCRYPTION
from outdial.testing.carrier.fault import Fault
from outdial.testing.carrier.networks import NETWORKS
from outdial.testing.carrier.refusals import REFUSALS

FAULTS: dict[str, Fault] = {
    name: fault
    for group in (REFUSALS, DOMAINS, DIGESTS, ANSWERS, ENCRYPTION, DIALOGS, NETWORKS)
    for name, fault in group.by_name.items()
}
