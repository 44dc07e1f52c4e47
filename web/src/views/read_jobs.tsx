// Jobs that read or put back files, and how they ended.
import { useState } from "react";
import { jobsOf } from "../model/jobs";
import { _ } from "../model/text";
import { JobProgress } from "./job_progress";
import { Alert, Button } from "./patternfly";
import { useSnapshot } from "./store";

/** How many are shown at a time. */
const SHOWN = 4;

/** Those that run, and the ends of those that ended since this was shown: only a job that succeeded has delivered the whole file. */
export function ReadJobs() {
    const known = useSnapshot();
    const [since] = useState(() => new Set(known.ended.map(({ path }) => path)));
    const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
    const jobs = jobsOf(known).filter((job) => job.kind === "read" || job.kind === "restore-files");
    // The last of those that have ended and are not hidden: others, such as a script, may begin many.
    const shown = jobs.filter((job) => job.unfinished || (!since.has(job.path) && !hidden.has(job.path))).slice(-SHOWN);
    return (
        <>
            {shown.map((job) => {
                const end = known.ended.find(({ path }) => path === job.path);
                if (job.unfinished) return <JobProgress key={job.path} job={job} />;
                if (!end) return null;
                const reads = job.kind === "read";
                const done = end.result === "succeeded";
                return (
                    <Alert
                        key={job.path}
                        component="p"
                        isInline
                        isLiveRegion
                        variant={done ? "success" : "danger"}
                        data-read={end.result}
                        title={
                            done
                                ? reads
                                    ? _("The file is complete")
                                    : _("The files are put back")
                                : reads
                                  ? _("The download failed: the file that the browser saved is not complete")
                                  : _("Not all files could be put back")
                        }
                        actionClose={
                            <Button variant="plain" aria-label={_("Dismiss")} onClick={() => setHidden(new Set([...hidden, job.path]))}>
                                ×
                            </Button>
                        }
                    >
                        {done ? job.note : end.result === "cancelled" ? _("It was stopped.") : end.message}
                    </Alert>
                );
            })}
        </>
    );
}
