// The files of a snapshot: looked through, chosen, downloaded, put back; and the other versions of a file.
import { useEffect, useState } from "react";
import { moment, size } from "../model/format";
import { allowed } from "../model/permissions";
import {
    type File,
    type Place,
    type Snap,
    type Version,
    below,
    download,
    fileVersions,
    listFiles,
} from "../model/snapshots";
import { _, bytesText, counted, filled, toBase64 } from "../model/text";
import { LongList, type Position } from "./long_list";
import { ActionError } from "./parts";
import { Button, FileIcon, FolderIcon, LinkIcon, Spinner } from "./patternfly";
import { PutBackDialog } from "./put_back";
import { useAction, useBus, useSnapshot } from "./store";

export function FilesView({ place, snapshot, onSnapshot }: { place: Place; snapshot: Snap; onSnapshot(uuid: string): void }) {
    const bus = useBus();
    const known = useSnapshot();
    const action = useAction();
    const [way, setWay] = useState<readonly Uint8Array[]>([]);
    const [files, setFiles] = useState<readonly File[]>();
    const [more, setMore] = useState(false);
    const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
    const [putting, setPutting] = useState(false);
    const [versions, setVersions] = useState<{ file: File; list: readonly Version[] }>();
    const directory = way.at(-1) ?? new Uint8Array();
    const key = toBase64(directory);
    const { run } = action;
    useEffect(() => {
        let current = true;
        void run(async () => {
            const page = await listFiles(bus, place, snapshot.uuid, directory);
            if (!current) return;
            setFiles(page.files);
            setMore(page.more);
        });
        return () => {
            current = false;
        };
        // `key` is the directory; place and snapshot are of this component.
    }, [bus, key]);

    const enter = (next: readonly Uint8Array[]): void => {
        setFiles(undefined);
        setChosen(new Set());
        setVersions(undefined);
        setWay(next);
    };
    const choose = (file: File, on: boolean): void => {
        const next = new Set(chosen);
        if (on) next.add(toBase64(file.name));
        else next.delete(toBase64(file.name));
        setChosen(next);
    };
    const showMore = (): void =>
        void run(async () => {
            const page = await listFiles(bus, place, snapshot.uuid, directory, files?.at(-1)?.name);
            setFiles([...(files ?? []), ...page.files]);
            setMore(page.more);
        });
    const selected = (files ?? []).filter((file) => chosen.has(toBase64(file.name)));
    const only = selected.length === 1 ? selected[0] : undefined;
    const restores = allowed(known, "restore") === "yes" || allowed(known, "restore-own") === "yes";
    return (
        <>
            <nav aria-label={_("Folder")} className="bd-row bd-path">
                <Button variant="link" isInline onClick={() => enter([])} isDisabled={way.length === 0}>
                    {snapshot.backup === "" ? snapshot.name : snapshot.backup}
                </Button>
                {way.map((path, at) => (
                    <span key={toBase64(path)} className="bd-row">
                        /
                        <Button variant="link" isInline isDisabled={at === way.length - 1} onClick={() => enter(way.slice(0, at + 1))}>
                            {bytesText(path).split("/").pop()}
                        </Button>
                    </span>
                ))}
            </nav>
            <ActionError error={action.error} onClose={action.clear} />
            {restores && (
                <div className="bd-actions">
                    <Button
                        variant="secondary"
                        data-action="download"
                        isDisabled={only?.type !== "file"}
                        onClick={() => {
                            if (only) {
                                download(place, snapshot.uuid, below(directory, only.name), allowed(known, "restore") === "yes");
                            }
                        }}
                    >
                        {_("Download")}
                    </Button>
                    <Button
                        variant="secondary"
                        data-action="put-back"
                        isDisabled={selected.length === 0}
                        onClick={() => setPutting(true)}
                    >
                        {_("Put back")}
                    </Button>
                    <Button
                        variant="secondary"
                        data-action="versions"
                        isDisabled={only?.type !== "file" || action.busy}
                        onClick={() =>
                            void run(async () => {
                                if (only) setVersions({ file: only, list: await fileVersions(bus, place, below(directory, only.name)) });
                            })
                        }
                    >
                        {_("Other versions")}
                    </Button>
                    <span className="bd-quiet">{counted("{n} chosen", "{n} chosen", selected.length)}</span>
                </div>
            )}
            {versions && (
                <section aria-label={_("Other versions")} className="bd-item">
                    <strong>{filled(_("Versions of {file}"), { file: versions.file.text })}</strong>
                    <ul>
                        {versions.list.map((version) => (
                            <li key={version.snapshot} data-version={version.snapshot}>
                                <Button
                                    variant="link"
                                    isInline
                                    isDisabled={version.snapshot === snapshot.uuid}
                                    onClick={() => onSnapshot(version.snapshot)}
                                >
                                    {moment(version.created)}
                                </Button>{" "}
                                <span className="bd-quiet">
                                    {filled(_("{size}, changed {time}"), { size: size(version.size), time: moment(version.modified) })}
                                </span>
                            </li>
                        ))}
                    </ul>
                </section>
            )}
            {files === undefined && action.error === "" && <Spinner aria-label={_("Reading the folder")} />}
            {files?.length === 0 && <p className="bd-quiet">{_("The folder is empty.")}</p>}
            {files && (
                <LongList
                    items={files}
                    more={more}
                    label={_("Files")}
                    className="bd-rows"
                    row={(file, position) => (
                        <Row
                            key={toBase64(file.name)}
                            file={file}
                            position={position}
                            chosen={chosen.has(toBase64(file.name))}
                            onChoose={choose}
                            onEnter={(entered) => enter([...way, below(directory, entered.name)])}
                        />
                    )}
                />
            )}
            {more && (
                <div>
                    <Button variant="secondary" isDisabled={action.busy} onClick={showMore}>
                        {_("Show more")}
                    </Button>
                </div>
            )}
            {putting && (
                <PutBackDialog
                    place={place}
                    snapshot={snapshot.uuid}
                    names={selected.map(({ text }) => text)}
                    paths={selected.map(({ name }) => below(directory, name))}
                    onClose={() => setPutting(false)}
                />
            )}
        </>
    );
}

interface RowProps {
    file: File;
    position: Position;
    chosen: boolean;
    onChoose(file: File, on: boolean): void;
    onEnter(file: File): void;
}

function Row(props: RowProps) {
    const { file, position, chosen, onChoose, onEnter } = props;
    const folder = file.type === "directory";
    return (
        <div {...position} className="bd-file" data-file={file.text}>
            <input
                type="checkbox"
                checked={chosen}
                aria-label={filled(_("Choose {file}"), { file: file.text })}
                onChange={(event) => onChoose(file, event.target.checked)}
            />
            {folder ? <FolderIcon /> : file.type === "symlink" ? <LinkIcon /> : <FileIcon />}
            <span className="bd-name">
                {folder ? (
                    <Button variant="link" isInline onClick={() => onEnter(file)}>
                        {file.text}
                    </Button>
                ) : (
                    file.text
                )}
            </span>
            <span className="bd-quiet">{file.type === "file" ? size(file.size) : ""}</span>
            <span className="bd-quiet bd-wide">{moment(file.modified)}</span>
        </div>
    );
}
