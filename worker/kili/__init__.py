"""The client of Kili's GraphQL API: operations, errors, retries, the shared call budget, asset ids."""

from worker.kili.budget import CallBudget, CallRecord
from worker.kili.client import KiliClient, WriteResult
from worker.kili.errors import (
    AddressRefused,
    ConnectFailed,
    KiliError,
    LocalFault,
    NotSent,
    RateLimited,
    RefusedItems,
    RefusedKey,
    RefusedProject,
    ServerFault,
    TimedOut,
    TooLarge,
    TransientError,
    Unauthorized,
    Unavailable,
    UnknownOperation,
    UnknownOutcome,
    WorkerFault,
)
from worker.kili.ids import derived_asset_id
from worker.kili.operations import (
    AssetUpdate,
    FoundAsset,
    NewAsset,
    NewLabel,
    Notification,
    ProjectInterface,
    UploadType,
)
from worker.kili.retry import RetryPolicy
from worker.kili.transport import KiliAccess

__all__ = [
    "AddressRefused",
    "AssetUpdate",
    "CallBudget",
    "CallRecord",
    "ConnectFailed",
    "FoundAsset",
    "KiliAccess",
    "KiliClient",
    "KiliError",
    "LocalFault",
    "NewAsset",
    "NewLabel",
    "NotSent",
    "Notification",
    "ProjectInterface",
    "RateLimited",
    "RefusedItems",
    "RefusedKey",
    "RefusedProject",
    "RetryPolicy",
    "ServerFault",
    "TimedOut",
    "TooLarge",
    "TransientError",
    "Unauthorized",
    "Unavailable",
    "UnknownOperation",
    "UnknownOutcome",
    "UploadType",
    "WorkerFault",
    "WriteResult",
    "derived_asset_id",
]
