// A job that has not ended: what it does, how far it is, what is durable.
import { Progress, ProgressMeasureLocation, Spinner } from "./patternfly";
import { size } from "../model/format";
import { type Job, jobDetails, jobTitle } from "../model/jobs";
import { _, filled } from "../model/text";

/** `user` is who looks at it: jobs of other users say whose they are. With `place`, it says what it works on. */
export function JobProgress({ job, user, place = false }: { job: Job; user?: number; place?: boolean }) {
    const where = place ? job.driveLabel || job.volume : "";
    const title = where === "" ? jobTitle(job.kind, job.backup) : `${jobTitle(job.kind, job.backup)} · ${where}`;
    const details = jobDetails(job);
    return (
        <div className="bd-job" data-job={job.kind} data-job-state={job.state}>
            {job.state !== "queued" && job.progress !== undefined ? (
                <Progress
                    value={Math.floor(job.progress * 100)}
                    title={title}
                    measureLocation={ProgressMeasureLocation.top}
                    aria-label={title}
                />
            ) : (
                <div className="bd-row">
                    {job.state !== "queued" && <Spinner size="md" aria-label={title} />} <span>{title}</span>
                </div>
            )}
            <div className="bd-quiet">
                {details}
                {job.trigger === "user" && user !== undefined && job.uid !== user && (
                    <span data-who={job.uid}> · {filled(_("started by user {uid}"), { uid: String(job.uid) })}</span>
                )}
                {job.durable > 0 && ` · ${filled(_("{size} durable"), { size: size(job.durable) })}`}
            </div>
        </div>
    );
}
