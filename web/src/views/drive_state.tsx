// The state of a drive in a word, with an icon and a colour. "Can be unplugged" is said of the state safe alone.
import { Label } from "./patternfly";
import {
    CheckCircleIcon,
    InProgressIcon,
    LockIcon,
    PlugIcon,
    PlusCircleIcon,
    UnlinkIcon,
} from "./patternfly";
import type { Drive } from "../model/drives";
import { _ } from "../model/text";

/** The word of a state. */
export function stateText(drive: Drive): string {
    if (!drive.enrolled) return drive.state === "safe" ? _("Can be unplugged") : _("New drive");
    if (drive.state !== "safe" && drive.jobs.some((job) => job.state !== "queued")) return _("In use");
    switch (drive.state) {
        case "safe":
            return _("Can be unplugged");
        case "busy":
            return _("In use");
        case "away":
            return _("Away");
        case "locked":
            return _("Locked");
        case "mounted":
        case "unlocked":
            return _("Open");
        case "present":
            return _("Attached");
        default:
            return drive.state;
    }
}

export function StateLabel({ drive }: { drive: Drive }) {
    const text = stateText(drive);
    const props = { "data-state": drive.state };
    if (drive.state === "safe") {
        return <Label {...props} color="green" variant="filled" icon={<CheckCircleIcon />}>{text}</Label>;
    }
    if (!drive.enrolled) return <Label {...props} color="purple" icon={<PlusCircleIcon />}>{text}</Label>;
    switch (drive.state) {
        case "busy":
            return <Label {...props} color="blue" icon={<InProgressIcon />}>{text}</Label>;
        case "away":
            return <Label {...props} color="grey" icon={<UnlinkIcon />}>{text}</Label>;
        case "locked":
            return <Label {...props} color="orange" icon={<LockIcon />}>{text}</Label>;
        default:
            return <Label {...props} color="blue" icon={<PlugIcon />}>{text}</Label>;
    }
}
