// The configured backups: what is due, overdue, and wrong.
import { useState } from "react";
import { type Backup, type Estimate, backupsOf, estimates, scheduleText } from "../model/backups";
import { ROOT, options } from "../model/bus";
import { type Drive, drivesOf } from "../model/drives";
import { moment, size } from "../model/format";
import { allowed } from "../model/permissions";
import { _, counted, filled } from "../model/text";
import { BackupEditor } from "./backup_editor";
import { When } from "./drive_facts";
import { ActionError, Dialog, Problems } from "./parts";
import {
    Button,
    Card,
    CardBody,
    CardFooter,
    CardHeader,
    CardTitle,
    CheckCircleIcon,
    DescriptionList,
    DescriptionListDescription,
    DescriptionListGroup,
    DescriptionListTerm,
    EmptyState,
    EmptyStateActions,
    EmptyStateBody,
    EmptyStateFooter,
    ExclamationTriangleIcon,
    Gallery,
    HddIcon,
    Label,
} from "./patternfly";
import { useAction, useBus, useNow, useSnapshot } from "./store";
import { UnpinDialog } from "./unpin";
import { Warnings } from "./warnings";

export function BackupsView() {
    const snapshot = useSnapshot();
    const backups = backupsOf(snapshot);
    const drives = drivesOf(snapshot).filter((drive) => drive.enrolled);
    const manages = allowed(snapshot, "manage") === "yes";
    const bus = useBus();
    const action = useAction();
    const [editing, setEditing] = useState<Backup | "new">();
    const [estimated, setEstimated] = useState<readonly Estimate[]>([]);
    const estimate = (): void => void action.run(async () => setEstimated(await estimates(bus)));
    const add = (
        <Button variant="primary" data-action="new-backup" onClick={() => setEditing("new")}>
            {_("New backup")}
        </Button>
    );
    return (
        <>
            <Warnings />
            {backups.length === 0 ? (
                <EmptyState headingLevel="h2" icon={HddIcon} titleText={_("No backup is configured")} data-empty>
                    <EmptyStateBody>
                        {drives.length === 0
                            ? _("Plug in a drive and enrol it first.")
                            : _("Choose a folder, and the drives that it is backed up to.")}
                    </EmptyStateBody>
                    {manages && drives.length > 0 && (
                        <EmptyStateFooter>
                            <EmptyStateActions>{add}</EmptyStateActions>
                        </EmptyStateFooter>
                    )}
                </EmptyState>
            ) : (
                <div className="bd-actions">
                    {manages && add}
                    {allowed(snapshot, "estimate") === "yes" && (
                        <Button
                            variant="secondary"
                            data-action="estimate"
                            isDisabled={action.busy}
                            isLoading={action.busy}
                            onClick={estimate}
                        >
                            {_("Estimate the next run")}
                        </Button>
                    )}
                </div>
            )}
            <ActionError error={action.error} onClose={action.clear} />
            <Gallery hasGutter minWidths={{ default: "100%", md: "24rem" }} maxWidths={{ default: "100%", md: "34rem" }}>
                {backups.map((backup) => (
                    <BackupCard
                        key={backup.path}
                        backup={backup}
                        drives={drives}
                        estimated={estimated.filter((one) => one.backup === backup.name)}
                        manages={manages}
                        onEdit={setEditing}
                    />
                ))}
            </Gallery>
            {editing === "new" && <BackupEditor onClose={() => setEditing(undefined)} />}
            {editing !== undefined && editing !== "new" && (
                <BackupEditor backup={editing} onClose={() => setEditing(undefined)} />
            )}
        </>
    );
}

function BackupCard(props: {
    backup: Backup;
    drives: readonly Drive[];
    estimated: readonly Estimate[];
    manages: boolean;
    onEdit(backup: Backup): void;
}) {
    const { backup, drives, estimated, manages, onEdit } = props;
    const bus = useBus();
    const snapshot = useSnapshot();
    const action = useAction();
    const now = useNow();
    const [removing, setRemoving] = useState(false);
    const [unpinning, setUnpinning] = useState<Drive>();
    const places = drives.filter((drive) => backup.destinations.includes(drive.path));
    const running = places.some((drive) => drive.jobs.some((job) => job.kind === "backup" && job.backup === backup.name));
    const attached = places.some((drive) => drive.state !== "away");
    return (
        <Card component="section" aria-label={backup.name} data-backup={backup.name} className="bd-card">
            <CardHeader actions={{ actions: <BackupLabel backup={backup} running={running} />, hasNoOffset: true }}>
                <CardTitle component="h2">{backup.name}</CardTitle>
            </CardHeader>
            <CardBody className="bd-stack">
                <Problems problems={backup.problems} />
                <ActionError error={action.error} onClose={action.clear} />
                <DescriptionList isHorizontal isCompact className="bd-facts">
                    <Fact term={_("When")}>{scheduleText(backup.schedule)}</Fact>
                    {backup.nextRun > 0 && <Fact term={_("Next backup")}>{moment(backup.nextRun)}</Fact>}
                    {places.map((drive) => (
                        <Fact key={drive.path} term={drive.title}>
                            {backup.lastGood[drive.path] ? (
                                <When time={backup.lastGood[drive.path] ?? 0} now={now} />
                            ) : (
                                _("none yet")
                            )}
                            {manages && (backup.lastGood[drive.path] ?? 0) > 0 && (
                                <>
                                    {" "}
                                    <Button
                                        variant="link"
                                        isInline
                                        data-action="unpin"
                                        aria-label={`${_("Keep nothing for it")}: ${drive.title}`}
                                        onClick={() => setUnpinning(drive)}
                                    >
                                        {_("Keep nothing for it")}
                                    </Button>
                                </>
                            )}
                            {estimated
                                .filter((one) => one.drive === drive.id)
                                .map((one) => (
                                    <div key={one.drive} className="bd-quiet" data-estimate={one.bytes}>
                                        {one.incremental
                                            ? filled(_("the next run sends up to {size}"), { size: size(one.bytes) })
                                            : filled(_("the next run sends everything, up to {size}"), { size: size(one.bytes) })}
                                    </div>
                                ))}
                        </Fact>
                    ))}
                    {backup.sourceSnapshots > 0 && (
                        <Fact term={_("Beside the source")}>
                            {counted("{n} snapshot", "{n} snapshots", backup.sourceSnapshots)}
                            {backup.sourceFreeable > 0 && ` · ${size(backup.sourceFreeable)}`}
                        </Fact>
                    )}
                    {backup.leftOut > 0 && (
                        <Fact term={_("Left out")}>{counted("{n} subvolume below it", "{n} subvolumes below it", backup.leftOut)}</Fact>
                    )}
                </DescriptionList>
            </CardBody>
            <CardFooter className="bd-actions">
                {allowed(snapshot, "backup") === "yes" && backup.enabled && places.length > 0 && (
                    <Button
                        variant="secondary"
                        data-action="run"
                        isDisabled={running || !attached || action.busy}
                        onClick={() =>
                            void action.run(async () => {
                                await bus.call(backup.path, "Backup", "Run", [options({})]);
                            })
                        }
                    >
                        {_("Back up now")}
                    </Button>
                )}
                {manages && (
                    <>
                        <Button variant="secondary" data-action="edit" onClick={() => onEdit(backup)}>
                            {_("Settings")}
                        </Button>
                        <Button variant="link" data-action="remove-backup" onClick={() => setRemoving(true)}>
                            {_("Remove")}
                        </Button>
                    </>
                )}
            </CardFooter>
            {unpinning && <UnpinDialog drive={unpinning} backup={backup.name} onClose={() => setUnpinning(undefined)} />}
            {removing && <RemoveDialog backup={backup} onClose={() => setRemoving(false)} />}
        </Card>
    );
}

function BackupLabel({ backup, running }: { backup: Backup; running: boolean }) {
    if (!backup.enabled) return <Label color="grey">{_("Off")}</Label>;
    if (running) return <Label color="blue">{_("Running")}</Label>;
    if (backup.overdue) return <Label color="orange" icon={<ExclamationTriangleIcon />} data-overdue>{_("Overdue")}</Label>;
    if (backup.due) return <Label color="blue">{_("Due")}</Label>;
    return <Label color="green" icon={<CheckCircleIcon />}>{_("Up to date")}</Label>;
}

function Fact({ term, children }: { term: string; children: React.ReactNode }) {
    return (
        <DescriptionListGroup>
            <DescriptionListTerm>{term}</DescriptionListTerm>
            <DescriptionListDescription>{children}</DescriptionListDescription>
        </DescriptionListGroup>
    );
}

function RemoveDialog({ backup, onClose }: { backup: Backup; onClose(): void }) {
    const bus = useBus();
    const action = useAction();
    const submit = async (): Promise<void> => {
        const done = await action.run(async () => {
            await bus.call(ROOT, "Manager", "RemoveBackup", [backup.name, options({})]);
        });
        if (done) onClose();
    };
    return (
        <Dialog
            title={filled(_("Remove the backup {name}?"), { name: backup.name })}
            verb={_("Remove")}
            danger
            busy={action.busy}
            error={action.error}
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            <p>{_("It does not run any more. Its snapshots stay, on the drives and beside the source.")}</p>
        </Dialog>
    );
}
