// Restoring: a place, its snapshots on a line of time, the files in one of them.
import { useEffect, useState } from "react";
import { clock, day } from "../model/format";
import { type Place, type Snap, listSnapshots, placesOf } from "../model/snapshots";
import { _ } from "../model/text";
import { FilesView } from "./files";
import { ActionError } from "./parts";
import { Button, EmptyState, EmptyStateBody, FormGroup, FormSelect, FormSelectOption, HistoryIcon, Label, Spinner } from "./patternfly";
import { SnapshotActions } from "./snapshot_actions";
import { useAction, useBus, useSnapshot } from "./store";

export function RestoreView() {
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
                <div className="bd-columns">
                    <nav className="bd-timeline" aria-label={_("Snapshots")}>
                        <ol>
                            {snapshots.map((one, at) => (
                                <li key={one.uuid}>
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
            )}
        </>
    );
}

const dayOf = (snapshot: Snap | undefined): string =>
    snapshot === undefined ? "" : snapshot.created > 0 ? day(snapshot.created) : _("without a date");
