// Jobs that run or wait for their turn, each with a way to end it.
import { type Snapshot, options } from "../model/bus";
import { type Job, jobTitle } from "../model/jobs";
import { type Allowed, allowed } from "../model/permissions";
import { _ } from "../model/text";
import { JobProgress } from "./job_progress";
import { ActionError } from "./parts";
import { Button, Card, CardBody, CardTitle } from "./patternfly";
import { useAction, useBus, useSnapshot } from "./store";

export function JobQueue({ title, jobs, user }: { title: string; jobs: readonly Job[]; user: number }) {
    if (jobs.length === 0) return null;
    return (
        <Card component="section" aria-label={title} className="bd-narrow" data-queue>
            <CardTitle component="h2">{title}</CardTitle>
            <CardBody>
                <ul className="bd-stack">
                    {jobs.map((job) => (
                        <li key={job.path} className="bd-queued">
                            <JobProgress job={job} user={user} place />
                            <EndJob job={job} user={user} />
                        </li>
                    ))}
                </ul>
            </CardBody>
        </Card>
    );
}

/** Whether this user may end the job. */
export const mayEnd = (known: Snapshot, job: Job, user: number): Allowed =>
    allowed(known, job.trigger === "user" && job.uid === user ? "cancel-own" : "cancel-others");

/** Ends a job: stops one that runs, takes one that waits out of the queue. */
export function EndJob({ job, user }: { job: Job; user: number }) {
    const bus = useBus();
    const known = useSnapshot();
    const action = useAction();
    if (!job.cancelable || mayEnd(known, job, user) !== "yes") return null;
    const waits = job.state === "queued";
    return (
        <>
            <Button
                variant="secondary"
                size="sm"
                data-action="end-job"
                isDisabled={action.busy}
                aria-label={`${waits ? _("Do not begin") : _("Stop")}: ${jobTitle(job.kind, job.backup)}`}
                onClick={() =>
                    void action.run(async () => {
                        await bus.call(job.path, "Job", "Cancel", [options({})]);
                    })
                }
            >
                {waits ? _("Do not begin") : _("Stop")}
            </Button>
            <ActionError error={action.error} onClose={action.clear} />
        </>
    );
}
