import ArgumentParser
import Fleet
import Metering
import OperatorFiles

struct PriceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "price", abstract: "Looks at price books before they are used.", subcommands: [PriceCheck.self])
}

struct PriceCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Reads price books, instance types, billable tables and billing settings, and tells every mistake.",
        discussion: """
            What a file is, its keys tell. All files given are taken together: versions that overlap are a mistake, and prices must be \
            for instance types that a catalogue among them lists (where there is one).

                steward price check Policies/billing/*.yaml Policies/billing/prices/*.yaml
            """)

    @Argument(help: "The files.")
    var files: [String]

    @Option(help: ArgumentHelp("Where dates begin, unless a billing.yaml is among the files.", valueName: "zone"))
    var timeZone: String?

    func run() throws {
        var problems = YamlProblems()
        let roots = try files.compactMap { path in try BillingFiles.root(path, isOptional: false, &problems) }
        var zone = timeZone ?? "UTC"
        for root in roots where BillingFileKind(of: root) == .settings {
            let settings = BillingSettings(root, &problems)
            if timeZone == nil { zone = settings.timeZone }
        }
        let reader = TariffFiles(calendar: try BillingFiles.calendar(zone))
        let catalogues = roots.filter { BillingFileKind(of: $0) == .instanceTypes }.compactMap { reader.instanceTypes($0, &problems) }
        let tables = roots.filter { BillingFileKind(of: $0) == .billableTable }.compactMap { reader.billableTable($0, &problems) }
        let types = catalogues.isEmpty ? nil : catalogues.flatMap { $0.value.types.map(\.name) }
        let books = roots.filter { BillingFileKind(of: $0) == .priceBook }.compactMap { reader.priceBook($0, types: types, &problems) }
        if !books.isEmpty { _ = reader.schedule(books, "the prices", &problems) }
        if !catalogues.isEmpty { _ = reader.schedule(catalogues, "the instance types", &problems) }
        if !tables.isEmpty { _ = reader.schedule(tables, "the billable table", &problems) }
        let found = problems.sorted
        for problem in found { printError("\(problem)") }
        if problems.hasErrors {
            throw Failure("\(found.count { $0.severity == .error }) mistakes in \(files.count) files", code: Failure.usage)
        }
        for book in books {
            print(
                "\(book.place.file): prices '\(book.value.version)' in \(book.value.currency) from \(Timestamp(seconds: book.from)): "
                    + "\(book.value.instances.count) instance types, \(book.value.disks.count) disk types")
        }
        for catalogue in catalogues {
            print("\(catalogue.place.file): \(catalogue.value.types.count) instance types from \(Timestamp(seconds: catalogue.from))")
        }
        for table in tables {
            print("\(table.place.file): billable table '\(table.value.version)' from \(Timestamp(seconds: table.from))")
        }
    }
}
