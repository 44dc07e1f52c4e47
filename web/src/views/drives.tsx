// All drives: attached ones, new ones, and those that are away.
import { EmptyState, EmptyStateBody, Gallery, Title } from "./patternfly";
import { HddIcon } from "./patternfly";
import { useEffect, useState } from "react";
import { type Drive, drivesOf } from "../model/drives";
import { jobsOf } from "../model/jobs";
import { allowed } from "../model/permissions";
import { hasStreams, importDrives } from "../model/streams";
import { _ } from "../model/text";
import { DriveCard } from "./drive_card";
import { EnrolDialog } from "./enrol";
import { JobQueue } from "./job_queue";
import { useBus, useSnapshot } from "./store";

export function DrivesView({ user }: { user: number }) {
    const known = useSnapshot();
    const drives = drivesOf(known);
    const named = useImportDrives();
    // Not part of a card: it stays, and says so, when its drive is unplugged.
    const [enrolling, setEnrolling] = useState<Drive>();
    const attached = drives.filter((drive) => drive.state !== "away");
    const away = drives.filter((drive) => drive.state === "away");
    // Jobs that no card shows, such as an upload.
    const shown = new Set(drives.flatMap((drive) => drive.jobs.map(({ path }) => path)));
    const others = jobsOf(known).filter((job) => job.unfinished && !shown.has(job.path));
    return (
        <>
            {attached.length === 0 && (
                <EmptyState headingLevel="h2" icon={HddIcon} titleText={_("No backup drive is attached")} data-empty>
                    <EmptyStateBody>{_("Plug in a drive. It appears here by itself.")}</EmptyStateBody>
                </EmptyState>
            )}
            <Cards drives={attached} user={user} named={named} onEnrol={setEnrolling} />
            <JobQueue title={_("Other jobs")} jobs={others} user={user} />
            {away.length > 0 && (
                <>
                    <Title headingLevel="h2" size="lg" className="bd-heading">
                        {_("Away")}
                    </Title>
                    <Cards drives={away} user={user} named={named} onEnrol={setEnrolling} />
                </>
            )}
            {enrolling && <EnrolDialog drive={enrolling} onClose={() => setEnrolling(undefined)} />}
        </>
    );
}

/** What the configuration calls the drives with stream files, as far as this user may know. */
function useImportDrives(): readonly string[] {
    const bus = useBus();
    const [named, setNamed] = useState<readonly string[]>([]);
    const manages = allowed(useSnapshot(), "manage") === "yes";
    useEffect(() => {
        if (manages) importDrives(bus).then(setNamed, () => setNamed([]));
    }, [bus, manages]);
    return named;
}

function Cards(props: {
    drives: readonly Drive[];
    user: number;
    named: readonly string[];
    onEnrol(drive: Drive): void;
}) {
    const { drives, user, named, onEnrol } = props;
    return (
        <Gallery hasGutter minWidths={{ default: "100%", md: "24rem" }} maxWidths={{ default: "100%", md: "34rem" }}>
            {drives.map((drive) => (
                <DriveCard key={drive.path} drive={drive} user={user} hasStreams={hasStreams(drive, named)} onEnrol={onEnrol} />
            ))}
        </Gallery>
    );
}
