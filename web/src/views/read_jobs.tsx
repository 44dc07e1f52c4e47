// Jobs that read or put back files, and how they ended.
import { useState } from "react";
import { type Job, jobsOf } from "../model/jobs";
import { asRoot } from "../model/snapshots";
import { _ } from "../model/text";
import { JobProgress } from "./job_progress";
import { Alert, Button } from "./patternfly";
import { useSnapshot } from "./store";

/** How many ends are shown at a time, besides the failures of this user. */
const SHOWN = 4;

/** Those that run, and the ends of those that ended since this was shown: only a job that succeeded has delivered the whole file. */
export function ReadJobs({ user }: { user: number }) {
    const known = useSnapshot();
    const [since] = useState(() => new Set(known.ended.map(({ path }) => path)));
    const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
    const jobs = jobsOf(known).filter((job) => job.kind === "read" || job.kind === "restore-files");
    const listed = jobs.filter((job) => job.unfinished || (!since.has(job.path) && !hidden.has(job.path)));
    // With administrative access this page works as root.
    const own = (job: Job): boolean => job.trigger === "user" && (job.uid === user || (job.uid === 0 && asRoot(known)));
    // Others, such as a script, may begin many: they hide no failure of this user, whose browser may have saved a part of a file.
    const stays = (job: Job): boolean => job.unfinished || (job.state !== "succeeded" && own(job));
    const last = new Set(listed.filter((job) => !stays(job)).slice(-SHOWN));
    const shown = listed.filter((job) => stays(job) || last.has(job));
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
