// The command line, for what Cockpit's D-Bus cannot pass: a descriptor. It prints JSON.

/** Runs `butterdock` with these arguments to its end. `input` is its standard input. Returns what it printed. */
export async function butterdock(words: readonly string[], input = ""): Promise<string> {
    const process = window.cockpit.spawn(["butterdock", "--json", ...words], { superuser: "try", err: "message" });
    let output = "";
    process.stream((data) => {
        output += data;
    });
    process.input(input);
    try {
        await process;
        return output;
    } catch (failure) {
        throw errorIn(output) ?? failure;
    }
}

/** The error that the command line printed. */
export function errorIn(line: string): cockpit.Failure | undefined {
    try {
        const { error } = JSON.parse(line) as { error: { name: string | null; message: string } };
        return { name: error.name ?? "", message: error.message };
    } catch {
        return undefined;
    }
}
