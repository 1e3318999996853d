// swift-tools-version: 6.2
import PackageDescription

// Shared by every Swift target. Each upcoming feature by its proposal:
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),  // SE-0335
    .enableUpcomingFeature("InternalImportsByDefault"),  // SE-0409
    .enableUpcomingFeature("MemberImportVisibility"),  // SE-0444
    .treatAllWarnings(as: .error),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
    name: "steward",
    products: [
        .executable(name: "steward", targets: ["steward"])
    ],
    // Exact versions: no lock file travels with the project.
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    ],
    targets: [
        .systemLibrary(name: "CLibvirt", pkgConfig: "libvirt", providers: [.apt(["libvirt-dev"])]),
        .target(name: "CZlib", linkerSettings: [.linkedLibrary("z")]),
        .target(name: "Collection", dependencies: ["Fleet", "Gzip", "TimeSeries"], swiftSettings: settings),
        .target(name: "Exposition", dependencies: ["Fleet", "Gzip", "TimeSeries"], swiftSettings: settings),
        .target(name: "Fleet", swiftSettings: settings),
        .target(name: "Gzip", dependencies: ["CZlib"], swiftSettings: settings),
        .target(name: "Libvirt", dependencies: ["CLibvirt", "Fleet"], swiftSettings: settings),
        .target(name: "TimeSeries", dependencies: ["Fleet"], swiftSettings: settings),
        .executableTarget(
            name: "steward", dependencies: ["Fleet", "Libvirt", "TimeSeries", argumentParser, hummingbird, logging, serviceLifecycle, yams],
            swiftSettings: settings),
        .executableTarget(
            name: "steward-bench", dependencies: ["Collection", "Exposition", "Fleet", "TimeSeries"], swiftSettings: settings),
        .testTarget(
            name: "CollectionTests", dependencies: ["Collection", "Exposition", "Fleet", "Gzip", "TimeSeries"], swiftSettings: settings),
        .testTarget(name: "ExpositionTests", dependencies: ["Exposition", "Fleet", "Gzip", "TimeSeries"], swiftSettings: settings),
        .testTarget(name: "FleetTests", dependencies: ["Fleet"], swiftSettings: settings),
        .testTarget(name: "GzipTests", dependencies: ["Gzip"], swiftSettings: settings),
        .testTarget(name: "TimeSeriesTests", dependencies: ["Fleet", "TimeSeries"], swiftSettings: settings),
    ]
)
