// Small parts that several views use.
import { Alert, AlertActionLink, Button, Modal, ModalBody, ModalFooter, ModalHeader } from "./patternfly";
import type { ReactNode } from "react";
import type { Problem } from "../model/problems";
import { worded } from "../model/problems";
import { _ } from "../model/text";

/** What is wrong, each with its remedy. */
export function Problems({ problems, action }: { problems: readonly Problem[]; action?: ReactNode }) {
    return (
        <>
            {problems.map((problem) => {
                const { code, severity, title, remedy } = worded(problem);
                return (
                    <Alert
 component="p"
                        key={`${code}${JSON.stringify(problem[1])}`}
                        variant={severity}
                        isInline
                        title={title}
                        data-problem={code}
                        {...(action && code === "drive-locked" ? { actionLinks: action } : {})}
                    >
                        {remedy}
                    </Alert>
                );
            })}
        </>
    );
}

/** The error of an action, until the next attempt. */
export function ActionError({ error, onClose }: { error: string; onClose?: () => void }) {
    if (error === "") return null;
    const links = onClose ? { actionLinks: <AlertActionLink onClick={onClose}>{_("Dismiss")}</AlertActionLink> } : {};
    return <Alert component="p" variant="danger" isInline isLiveRegion title={error} data-error {...links} />;
}

export interface DialogProps {
    title: string;
    description?: string;
    children: ReactNode;
    /** The word on its button, such as "Erase". */
    verb: string;
    danger?: boolean;
    ready?: boolean;
    busy?: boolean;
    error?: string;
    wide?: boolean;
    onClose(): void;
    onSubmit(): void;
}

/** A dialog that does one thing. Enter in a field does it too. */
export function Dialog(props: DialogProps) {
    const { title, description, children, verb, danger, ready = true, busy = false, error = "", wide, onClose, onSubmit } = props;
    return (
        <Modal
            isOpen
            variant={wide ? "medium" : "small"}
            onClose={() => {
                if (!busy) onClose();
            }}
            aria-labelledby="dialog-title"
        >
            <ModalHeader
                title={title}
                labelId="dialog-title"
                {...(danger ? { titleIconVariant: "warning" as const } : {})}
                {...(description ? { description } : {})}
            />
            <ModalBody>
                <form
                    id="dialog-form"
                    className="bd-stack"
                    onSubmit={(event) => {
                        event.preventDefault();
                        if (ready && !busy) onSubmit();
                    }}
                >
                    {children}
                    <ActionError error={error} />
                </form>
            </ModalBody>
            <ModalFooter>
                <Button
                    type="submit"
                    form="dialog-form"
                    variant={danger ? "danger" : "primary"}
                    isDisabled={!ready || busy}
                    isLoading={busy}
                    data-action="submit"
                >
                    {verb}
                </Button>
                <Button variant="link" isDisabled={busy} onClick={onClose}>
                    {_("Cancel")}
                </Button>
            </ModalFooter>
        </Modal>
    );
}
