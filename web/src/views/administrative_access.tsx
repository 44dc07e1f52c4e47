// What users without administrative access see, and how they turn it on.
import { Alert, AlertActionLink, FormGroup, TextInput } from "./patternfly";
import { useState } from "react";
import { type Question, turnOnAdministrativeAccess } from "../model/permissions";
import { _ } from "../model/text";
import { Dialog } from "./parts";
import { useAction, useSnapshot } from "./store";

/** Shown while administrative access would allow more. */
export function AdministrativeAccess() {
    const snapshot = useSnapshot();
    const [question, setQuestion] = useState<Question>();
    const [text, setText] = useState("");
    const action = useAction();
    if (snapshot.service !== "running" || !Object.values(snapshot.permissions).includes("challenge")) return null;
    const start = (): void => {
        void action.run(() => turnOnAdministrativeAccess(setQuestion)).then(() => setQuestion(undefined));
    };
    const close = (): void => {
        question?.answer();
        setQuestion(undefined);
        setText("");
    };
    return (
        <>
            <Alert
 component="p"
                variant="info"
                isInline
                title={_("You have limited access")}
                data-limited
                actionLinks={
                    <AlertActionLink onClick={start} isDisabled={action.busy}>
                        {_("Turn on administrative access")}
                    </AlertActionLink>
                }
            >
                {action.error === ""
                    ? _("Some actions need administrative access.")
                    : _("Administrative access could not be turned on. Ask an administrator.")}
            </Alert>
            {question && (
                <Dialog
                    title={_("Turn on administrative access")}
                    verb={_("Authenticate")}
                    error={question.error}
                    onClose={close}
                    onSubmit={() => {
                        question.answer(text);
                        setText("");
                    }}
                >
                    <FormGroup label={question.label || question.message} fieldId="answer">
                        <TextInput
                            id="answer"
                            type={question.secret ? "password" : "text"}
                            autoComplete="off"
                            value={text}
                            onChange={(_event, value) => setText(value)}
                        />
                    </FormGroup>
                </Dialog>
            )}
        </>
    );
}
