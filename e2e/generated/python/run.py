"""Runs a job with the client that openapi-python-client makes of the API's description: it submits, waits, and reads the
result, while it works on the job itself. TALLYGATE_URL, TALLYGATE_KEY (a client's) and TALLYGATE_WORKER_KEY say where
and as whom."""

import os
from concurrent.futures import ThreadPoolExecutor

from tallygate_api import AuthenticatedClient
from tallygate_api.api.jobs import get_job, get_job_result, submit_job
from tallygate_api.api.worker import lease_jobs, succeed_job
from tallygate_api.models import Error, ErrorCode, Job, JobStatus, JobSubmission, LeaseRequest, Leases, Reported, Success


def connect(key: str) -> AuthenticatedClient:
    return AuthenticatedClient(os.environ["TALLYGATE_URL"], token=os.environ[key], timeout=60)


def work() -> None:
    """Does one job."""
    worker = connect("TALLYGATE_WORKER_KEY")
    leased = lease_jobs.sync(client=worker, body=LeaseRequest(types=["text.stats"], wait="30s"))
    assert isinstance(leased, Leases), leased
    [lease] = leased.leases
    counted = {"words": len(lease.job.input_["text"].split())}
    reported = succeed_job.sync(lease.job.id, client=worker, body=Success(token=lease.token, result=counted))
    assert isinstance(reported, Reported), reported


client = connect("TALLYGATE_KEY")
submitted = submit_job.sync(client=client, body=JobSubmission(type_="text.stats", input_={"text": "Call me Ishmael."}))
assert isinstance(submitted, Job), submitted
with ThreadPoolExecutor() as threads:
    worked = threads.submit(work)
    job = get_job.sync(submitted.id, client=client, wait="30s")
    worked.result()
assert isinstance(job, Job) and job.status == JobStatus.SUCCEEDED, job
result = get_job_result.sync(job.id, client=client)
assert result == {"words": 3}, result
print(f"{job.id}: 3 words, charged {job.receipt.charged}")

# An error is read as one.
none = get_job.sync("job_00000000000000000000000000", client=client)
assert isinstance(none, Error) and none.error.code == ErrorCode.JOB_NOT_FOUND, none
