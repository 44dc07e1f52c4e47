// Restoring: a place, its snapshots on a line of time, the files in one of them.
import { useEffect, useRef, useState } from "react";
import { clock, day } from "../model/format";
import { allowed } from "../model/permissions";
import { type Place, type Snap, listSnapshots, placesOf } from "../model/snapshots";
import { mountedVolumes } from "../model/streams";
import { _ } from "../model/text";
import { FilesView } from "./files";
import { ActionError } from "./parts";
import { Button, EmptyState, EmptyStateBody, FormGroup, FormSelect, FormSelectOption, HistoryIcon, Label, Spinner } from "./patternfly";
import { ReadJobs } from "./read_jobs";
import { SnapshotActions } from "./snapshot_actions";
import { useAction, useBus, useSnapshot } from "./store";
import { Timeline } from "./timeline";
import { UploadDialog } from "./upload";

export function RestoreView({ user }: { user: number }) {
    return (
        <>
            <UploadButton />
            {/* Not part of a place: the end of a download is shown although its drive is gone. */}
            <ReadJobs user={user} />
            <Places />
        </>
    );
}

function Places() {
    const known = useSnapshot();
    const places = placesOf(known);
    const [chosen, setChosen] = useState("");
    const place = places.find((one) => one.path === chosen) ?? places[0];
    if (!place) {
        return (
            <EmptyState headingLevel="h2" icon={HistoryIcon} titleText={_("There is nothing to restore from")} data-empty>
                <EmptyStateBody>{_("Plug in a drive that has backups.")}</EmptyStateBody>
            </EmptyState>
        );
    }
    return (
        <>
            <FormGroup label={_("Restore from")} fieldId="place">
                <FormSelect id="place" className="bd-select" value={place.path} onChange={(_event, path) => setChosen(path)}>
                    {places.map((one) => (
                        <FormSelectOption
                            key={one.path}
                            value={one.path}
                            label={one.kind === "Backup" ? `${one.title} (${_("snapshots on this machine")})` : one.title}
                        />
                    ))}
                </FormSelect>
            </FormGroup>
            <Snapshots key={place.path} place={place} />
        </>
    );
}

function UploadButton() {
    const known = useSnapshot();
    const [open, setOpen] = useState(false);
    if (!open && (allowed(known, "receive") !== "yes" || mountedVolumes(known).length === 0)) return null;
    return (
        <div className="bd-actions">
            <Button variant="secondary" data-action="upload" onClick={() => setOpen(true)}>
                {_("Upload a stream")}
            </Button>
            {open && <UploadDialog onClose={() => setOpen(false)} />}
        </div>
    );
}

function Snapshots({ place }: { place: Place }) {
    const bus = useBus();
    const action = useAction();
    const [snapshots, setSnapshots] = useState<readonly Snap[]>();
    const [chosen, setChosen] = useState("");
    const [round, setRound] = useState(0);
    const { run } = action;
    useEffect(() => {
        let current = true;
        void run(async () => {
            const list = await listSnapshots(bus, place);
            if (current) setSnapshots(list);
        });
        return () => {
            current = false;
        };
        // `run` does the same in every drawing; the place is of this component.
    }, [bus, place.path, place.kind, round]);
    // The list shows what the line of time has chosen.
    const current = useRef<HTMLLIElement>(null);
    useEffect(() => {
        // Newer browsers answer with a promise, which is not what ends an effect.
        void current.current?.scrollIntoView({ block: "nearest" });
    }, [chosen]);
    const snapshot = snapshots?.find((one) => one.uuid === chosen) ?? snapshots?.[0];
    return (
        <>
            <ActionError error={action.error} />
            {action.error !== "" && (
                <div>
                    <Button variant="secondary" onClick={() => setRound(round + 1)}>
                        {_("Try again")}
                    </Button>
                </div>
            )}
            {snapshots === undefined && action.error === "" && <Spinner aria-label={_("Reading the snapshots")} />}
            {snapshots?.length === 0 && (
                <EmptyState headingLevel="h2" icon={HistoryIcon} titleText={_("No snapshots are here")} data-empty>
                    <EmptyStateBody>{_("The first backup makes one.")}</EmptyStateBody>
                </EmptyState>
            )}
            {snapshots && snapshot && (
                <>
                    <Timeline snapshots={snapshots} chosen={snapshot.uuid} onChoose={setChosen} />
                    <div className="bd-columns">
                        <nav className="bd-timeline" aria-label={_("Snapshots")}>
                            <ol>
                                {snapshots.map((one, at) => (
                                    <li key={one.uuid} ref={one.uuid === snapshot.uuid ? current : undefined}>
                                        {dayOf(one) !== dayOf(snapshots[at - 1]) && <h2 className="bd-day">{dayOf(one)}</h2>}
                                        <button
                                            type="button"
                                            className="bd-moment"
                                            aria-current={one.uuid === snapshot.uuid}
                                            data-snapshot={one.uuid}
                                            onClick={() => setChosen(one.uuid)}
                                        >
                                            <strong>{one.created > 0 ? clock(one.created) : one.name}</strong>
                                            <span className="bd-quiet">{one.backup === "" ? one.name : one.backup}</span>
                                            {one.held && <Label isCompact color="orange">{_("held")}</Label>}
                                            {one.otherMachine && <Label isCompact color="purple">{_("other machine")}</Label>}
                                        </button>
                                    </li>
                                ))}
                            </ol>
                        </nav>
                        <section className="bd-stack bd-files" aria-label={_("Files")}>
                            <SnapshotActions place={place} snapshot={snapshot} onChange={() => setRound(round + 1)} />
                            <FilesView key={snapshot.uuid} place={place} snapshot={snapshot} onSnapshot={setChosen} />
                        </section>
                    </div>
                </>
            )}
        </>
    );
}

const dayOf = (snapshot: Snap | undefined): string =>
    snapshot === undefined ? "" : snapshot.created > 0 ? day(snapshot.created) : _("without a date");
