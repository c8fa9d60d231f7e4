"""All loaders of one operation, by the name of the question they answer."""

from resolvers.loaders.detections import DetectionLoaders
from resolvers.loaders.documents import DocumentLoaders
from resolvers.loaders.evidence import EvidenceLoaders
from resolvers.loaders.payments import PaymentLoaders


class Loaders(DetectionLoaders, DocumentLoaders, PaymentLoaders, EvidenceLoaders):
    """Made for one operation and gone with it; a longer life would show one seller's data to another."""
