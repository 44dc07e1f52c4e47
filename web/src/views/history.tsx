// The jobs that run or wait, and those that have ended with their errors and what to do.
import { useCallback, useEffect, useState } from "react";
import { duration, moment, size } from "../model/format";
import { type Entry, PAGE, readHistory } from "../model/history";
import { jobTitle, jobsOf } from "../model/jobs";
import { ERRORS } from "../model/problems";
import { _, filled } from "../model/text";
import { JobQueue } from "./job_queue";
import { ActionError } from "./parts";
import { Button, EmptyState, EmptyStateBody, HistoryIcon, Label } from "./patternfly";
import { useAction, useBus, useSnapshot } from "./store";

export function HistoryView({ user }: { user: number }) {
    const bus = useBus();
    const action = useAction();
    const [entries, setEntries] = useState<readonly Entry[]>();
    const [more, setMore] = useState(false);
    const known = useSnapshot();
    // A job that ends is read at once.
    const last = known.ended.at(-1)?.path;
    const { run } = action;
    const read = useCallback(
        (before?: number) =>
            run(async () => {
                const page = await readHistory(bus, before);
                setEntries((old) => (before === undefined ? page : [...(old ?? []), ...page]));
                setMore(page.length >= PAGE);
            }),
        // `run` does the same in every drawing.
        [bus],
    );
    useEffect(() => {
        void read();
    }, [read, last]);
    const logs = "/system/logs#/?prio=info&_SYSTEMD_UNIT=butterdockd.service";
    return (
        <>
            <ActionError error={action.error} onClose={action.clear} />
            <JobQueue title={_("Running and waiting")} jobs={jobsOf(known).filter((job) => job.unfinished)} user={user} />
            {entries?.length === 0 && (
                <EmptyState headingLevel="h2" icon={HistoryIcon} titleText={_("Nothing has run yet")} data-empty>
                    <EmptyStateBody>{_("Backups and other jobs are listed here when they have ended.")}</EmptyStateBody>
                </EmptyState>
            )}
            {entries !== undefined && entries.length > 0 && (
                <ol className="bd-list">
                    {entries.map((entry) => (
                        <Row key={entry.id} entry={entry} user={user} />
                    ))}
                </ol>
            )}
            <div className="bd-actions">
                {more && (
                    <Button variant="secondary" isDisabled={action.busy} onClick={() => void read(entries?.at(-1)?.end)}>
                        {_("Show older ones")}
                    </Button>
                )}
                <Button variant="link" onClick={() => window.cockpit.jump(logs)}>
                    {_("Open the journal of the service")}
                </Button>
            </div>
        </>
    );
}

function Row({ entry, user }: { entry: Entry; user: number }) {
    const seconds = (entry.end - entry.start) / 1e6;
    const facts = [moment(entry.end), entry.place, entry.received > 0 ? size(entry.received) : "", duration(seconds), who(entry, user)];
    return (
        <li className="bd-item" data-history={entry.result}>
            <div className="bd-row">
                <strong>{jobTitle(entry.kind, entry.backup)}</strong>
                <ResultLabel result={entry.result} />
            </div>
            <div className="bd-quiet">{facts.filter((fact) => fact !== "").join(" · ")}</div>
            {entry.result === "failed" && <div>{errorOf(entry)}</div>}
            {entry.note !== "" && <div className="bd-quiet">{entry.note}</div>}
        </li>
    );
}

/** The remedy that the page knows, and what happened in the words of the service. */
function errorOf(entry: Entry): string {
    const words = ERRORS[entry.errorName.split(".").pop() ?? ""];
    return words ? `${words()} (${entry.errorMessage})` : entry.errorMessage;
}

function who(entry: Entry, user: number): string {
    switch (entry.trigger) {
        case "plug":
            return _("when the drive was plugged in");
        case "schedule":
            return _("as scheduled");
        case "user":
            return entry.uid === user ? _("started by you") : filled(_("started by user {uid}"), { uid: String(entry.uid) });
        default:
            return "";
    }
}

function ResultLabel({ result }: { result: string }) {
    switch (result) {
        case "succeeded":
            return <Label color="green" isCompact>{_("Done")}</Label>;
        case "failed":
            return <Label color="red" isCompact>{_("Failed")}</Label>;
        case "cancelled":
            return <Label color="grey" isCompact>{_("Stopped")}</Label>;
        default:
            return <Label color="grey" isCompact>{result}</Label>;
    }
}
