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
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
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
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    ],
    targets: [
        .systemLibrary(name: "CLibvirt", pkgConfig: "libvirt", providers: [.apt(["libvirt-dev"])]),
        .target(name: "Collection", dependencies: ["Fleet", "TimeSeries"], swiftSettings: settings),
        .target(name: "Fleet", swiftSettings: settings),
        .testTarget(name: "FleetTests", dependencies: ["Fleet"], swiftSettings: settings),
        .target(name: "HTTPServer", dependencies: [httpTypes, hummingbird, logging, nioCore], swiftSettings: settings),
        .target(name: "Libvirt", dependencies: ["CLibvirt", "Fleet"], swiftSettings: settings),
        .executableTarget(
            name: "steward", dependencies: ["Collection", "Fleet", "HTTPServer", "Libvirt", "TimeSeries", argumentParser, hummingbird, logging, serviceLifecycle, yams],
            swiftSettings: settings),
        .target(name: "TimeSeries", dependencies: ["Fleet"], swiftSettings: settings),
    ]
)
