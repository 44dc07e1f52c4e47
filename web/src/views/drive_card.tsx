// A drive, or a volume that takes backups: its state, its job, what is wrong, and what can be done.
import {
    Alert,
    AlertActionLink,
    Button,
    Card,
    CardBody,
    CardFooter,
    CardHeader,
    CardTitle,
    ExclamationTriangleIcon,
} from "./patternfly";
import { type ReactNode, useState } from "react";
import { destinationName } from "../model/backups";
import { options } from "../model/bus";
import { type Drive, drivesOf } from "../model/drives";
import { size } from "../model/format";
import { type Allowed, allowed } from "../model/permissions";
import type { Problem } from "../model/problems";
import { mountedVolumes } from "../model/streams";
import { _, filled } from "../model/text";
import { BackupEditor } from "./backup_editor";
import { DestinationSettings } from "./destination_settings";
import { Facts, NewDrive } from "./drive_facts";
import { StateLabel } from "./drive_state";
import { ForgetDialog } from "./forget";
import { ImportDialog } from "./import";
import { JobProgress } from "./job_progress";
import { EndJob, mayEnd } from "./job_queue";
import { ActionError, Problems } from "./parts";
import { useAction, useBus, useSnapshot } from "./store";
import { UnlockDialog } from "./unlock";
import { UnpinDialog } from "./unpin";

type Dialog = "unlock" | "forget" | "backup" | "settings" | "import" | "unpin";

export function DriveCard(props: {
    drive: Drive;
    user: number;
    /** The configuration names it as one with stream files. */
    hasStreams: boolean;
    onEnrol(drive: Drive): void;
}) {
    const { drive, user, hasStreams, onEnrol } = props;
    const bus = useBus();
    const snapshot = useSnapshot();
    const action = useAction();
    const [dialog, setDialog] = useState<Dialog>();
    const may = (name: string): Allowed => allowed(snapshot, name);
    const call = (path: string, iface: string, method: string, values: Record<string, unknown> = {}): void => {
        void action.run(async () => {
            await bus.call(path, iface, method, [options(values)]);
        });
    };
    const running = drive.jobs[0];
    const away = drive.state === "away";
    // One that was asked to become safe takes no other order.
    const leaving = drive.jobs.some((job) => job.kind === "remove");
    const locked = drive.state === "locked";
    return (
        <Card component="section" aria-label={drive.title} data-drive={drive.id} className="bd-card">
            <CardHeader actions={{ actions: <StateLabel drive={drive} />, hasNoOffset: true }}>
                <CardTitle component="h2">{drive.title}</CardTitle>
                <div className="bd-quiet">{hardwareText(drive)}</div>
            </CardHeader>
            <CardBody className="bd-stack">
                {drive.state === "safe" && drive.hardware && (
                    <Alert component="p" variant="success" isInline isLiveRegion title={_("Can be unplugged")} data-safe>
                        {_("Everything that was reported as done is safely on it.")}
                    </Alert>
                )}
                {drive.jobs.length > 0 && drive.state !== "safe" && (
                    <>
                        {drive.jobs.map((job) => (
                            <div key={job.path} className="bd-queued">
                                <JobProgress job={job} user={user} />
                                {job !== running && <EndJob job={job} user={user} />}
                            </div>
                        ))}
                        {drive.hardware && (
                            <div className="bd-row bd-warning" data-warning>
                                <ExclamationTriangleIcon /> {_("Do not unplug it yet.")}
                            </div>
                        )}
                    </>
                )}
                <Problems
                    problems={shown(drive)}
                    action={
                        locked && may("unlock") === "yes" ? (
                            <AlertActionLink onClick={() => setDialog("unlock")}>{_("Unlock")}</AlertActionLink>
                        ) : null
                    }
                />
                <ActionError error={action.error} onClose={action.clear} />
                {drive.enrolled ? <Facts drive={drive} /> : <NewDrive drive={drive} />}
            </CardBody>
            <CardFooter className="bd-actions">
                {!drive.enrolled && (
                    <Act allowed={may("enrol")} name="enrol" primary onClick={() => onEnrol(drive)}>
                        {_("Use for backups")}
                    </Act>
                )}
                {locked && drive.enrolled && (
                    <Act allowed={may("unlock")} name="unlock" primary onClick={() => setDialog("unlock")}>
                        {_("Unlock")}
                    </Act>
                )}
                {drive.enrolled && !away && !locked && drive.backups.length > 0 && (
                    <Act
                        allowed={may("backup")}
                        name="backup"
                        primary={!running}
                        disabled={action.busy || leaving || drive.jobs.some((job) => job.kind === "backup")}
                        onClick={() => call(drive.path, "Destination", "Backup")}
                    >
                        {_("Back up now")}
                    </Act>
                )}
                {drive.enrolled && drive.backups.length === 0 && (
                    <Act allowed={may("manage")} name="new-backup" primary={!running} onClick={() => setDialog("backup")}>
                        {_("Choose what to back up")}
                    </Act>
                )}
                {running?.cancelable && (
                    <Act
                        allowed={mayEnd(snapshot, running, user)}
                        name="stop"
                        disabled={action.busy}
                        onClick={() => call(running.path, "Job", "Cancel")}
                    >
                        {_("Stop")}
                    </Act>
                )}
                {drive.enrolled && !away && !locked && !running && (
                    <Act
                        allowed={may("verify")}
                        name="verify"
                        disabled={action.busy}
                        onClick={() => call(drive.path, "Destination", "Verify")}
                    >
                        {_("Verify")}
                    </Act>
                )}
                {drive.hardware && drive.enrolled && !away && drive.state !== "safe" && !leaving && (
                    <Act
                        allowed={may("safely-remove")}
                        name="remove"
                        disabled={action.busy}
                        onClick={() => call(drive.path, "Drive", "SafelyRemove", running ? { when_idle: true } : {})}
                    >
                        {running ? _("Remove when done") : _("Remove safely")}
                    </Act>
                )}
                {hasStreams && drive.hardware && !away && !locked && !leaving && mountedVolumes(snapshot).length > 0 && (
                    <Act allowed={may("import")} name="import" onClick={() => setDialog("import")}>
                        {_("Import streams")}
                    </Act>
                )}
                {drive.enrolled && (
                    <Act allowed={may("manage")} name="settings" quiet onClick={() => setDialog("settings")}>
                        {_("Settings")}
                    </Act>
                )}
                {drive.enrolled && away && (
                    <Act allowed={may("manage")} name="unpin" quiet onClick={() => setDialog("unpin")}>
                        {_("Keep nothing for it")}
                    </Act>
                )}
                {drive.enrolled && drive.hardware && !running && (
                    <Act allowed={may("forget")} name="forget" quiet onClick={() => setDialog("forget")}>
                        {_("Forget")}
                    </Act>
                )}
            </CardFooter>
            {dialog === "backup" && (
                <BackupEditor to={destinationName(drive, drivesOf(snapshot))} onClose={() => setDialog(undefined)} />
            )}
            {dialog === "unlock" && <UnlockDialog drive={drive} onClose={() => setDialog(undefined)} />}
            {dialog === "settings" && <DestinationSettings drive={drive} onClose={() => setDialog(undefined)} />}
            {dialog === "import" && <ImportDialog drive={drive} onClose={() => setDialog(undefined)} />}
            {dialog === "unpin" && <UnpinDialog drive={drive} onClose={() => setDialog(undefined)} />}
            {dialog === "forget" && <ForgetDialog drive={drive} onClose={() => setDialog(undefined)} />}
        </Card>
    );
}

/** That a locked drive is locked is its state: said once. */
const shown = (drive: Drive): readonly Problem[] =>
    drive.state === "locked" ? drive.problems.filter(([code]) => code !== "drive-locked") : drive.problems;

/** What the hardware is, in one line. */
function hardwareText(drive: Drive): string {
    const name = drive.title === drive.model ? "" : drive.model;
    const serial = drive.serial === "" ? "" : filled(_("serial number {serial}"), { serial: drive.serial });
    const kind = drive.hardware ? "" : _("a volume of this machine");
    const device = drive.title === drive.device ? "" : drive.device;
    const total = drive.size === 0 ? "" : size(drive.size);
    const encrypted = drive.encrypted ? _("encrypted") : "";
    return [kind, total, name, device, encrypted, serial].filter((part) => part !== "").join(" · ");
}

/** A button for an action. Users who may never do it do not see it; it needs administrative access for some. */
function Act(props: {
    allowed: Allowed;
    name: string;
    primary?: boolean;
    quiet?: boolean;
    disabled?: boolean;
    onClick(): void;
    children: ReactNode;
}) {
    if (props.allowed !== "yes") return null;
    return (
        <Button
            variant={props.primary ? "primary" : props.quiet ? "link" : "secondary"}
            isDisabled={props.disabled ?? false}
            data-action={props.name}
            onClick={props.onClick}
        >
            {props.children}
        </Button>
    );
}
