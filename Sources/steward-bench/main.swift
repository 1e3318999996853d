#if canImport(Glibc)
import Glibc
#endif

let words = Array(CommandLine.arguments.dropFirst())
do {
    switch words.first {
    case nil, "render": exit(RenderBench().run() ? 0 : 1)
    case "store": try StoreBench(Array(words.dropFirst())).run()
    case .some(let other):
        print("steward-bench: unknown part '\(other)'; there are: render, store")
        exit(64)
    }
} catch {
    print("steward-bench: \(error)")
    exit(1)
}
