// The settings that the page changes: the volumes, the destinations, and what happens to a drive after its backups.
import { type Bus, ROOT, options } from "./bus";
import { type DestinationRule, destinationsIn } from "./destinations";
import type { Problem } from "./problems";

export interface Volume {
    name: string;
    path: string;
    /** The maker's file has it: it can be switched off, not changed. */
    maker: boolean;
}

export interface Settings {
    revision: string;
    /** Where they are written to. */
    file: string;
    writable: boolean;
    volumes: readonly Volume[];
    destinations: readonly DestinationRule[];
    onFinish: string;
}

export async function readSettings(bus: Bus): Promise<Settings> {
    const [settings, revision] = (await bus.call(ROOT, "Manager", "GetSettings", [options({})])) as [
        {
            values: { volume?: Record<string, unknown>[]; destination?: Record<string, unknown>[]; drives?: Record<string, unknown> };
            origins: { volume?: Record<string, unknown>[]; destination?: Record<string, unknown>[] };
            file: string;
            writable: boolean;
        },
        string,
    ];
    const { values, origins } = settings;
    const volumes = (values.volume ?? []).flatMap((table, at): Volume[] =>
        table.enabled === false
            ? []
            : [{ name: String(table.name), path: String(table.path), maker: origins.volume?.[at]?.path === "maker" }],
    );
    return {
        revision,
        file: String(settings.file),
        writable: settings.writable === true,
        volumes,
        destinations: destinationsIn(values, origins),
        onFinish: String(values.drives?.on_finish ?? "unmount"),
    };
}

/** Adds a volume. Returns the warnings of the service. */
export async function addVolume(bus: Bus, name: string, path: string, revision: string): Promise<readonly Problem[]> {
    const [, warnings] = await bus.call(ROOT, "Manager", "SetVolume", [name, options({ path }), options({ revision, create: true })]);
    return warnings as Problem[];
}

export async function removeVolume(bus: Bus, name: string, revision: string): Promise<void> {
    await bus.call(ROOT, "Manager", "RemoveVolume", [name, options({ revision })]);
}

/** What the service does with a drive after its backups: keep, unmount or power-off. */
export async function setOnFinish(bus: Bus, onFinish: string, revision: string): Promise<void> {
    const values = { drives: { t: "a{sv}", v: options({ on_finish: onFinish }) } };
    await bus.call(ROOT, "Manager", "SetDefaults", [values, options({ revision })]);
}
