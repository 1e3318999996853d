// Wraps what Swift cannot reach in libvirt's headers, each with its reason, and nothing else.
#ifndef STEWARD_CLIBVIRT_SHIM_H
#define STEWARD_CLIBVIRT_SHIM_H

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <string.h>

// virTypedParameter.field is char[80], which Swift sees as an 80-tuple.
static inline const char *steward_parameter_field(virTypedParameterPtr parameters, int index) {
    return parameters[index].field;
}

static inline int steward_parameter_type(virTypedParameterPtr parameters, int index) {
    return parameters[index].type;
}

// The value of a typed parameter is a union, which Swift reads only through unsafe casts of a tuple.
static inline long long steward_parameter_signed(virTypedParameterPtr parameters, int index) {
    return parameters[index].type == VIR_TYPED_PARAM_INT ? parameters[index].value.i : parameters[index].value.l;
}

static inline unsigned long long steward_parameter_unsigned(virTypedParameterPtr parameters, int index) {
    return parameters[index].type == VIR_TYPED_PARAM_UINT ? parameters[index].value.ui : parameters[index].value.ul;
}

static inline double steward_parameter_real(virTypedParameterPtr parameters, int index) {
    return parameters[index].value.d;
}

static inline int steward_parameter_flag(virTypedParameterPtr parameters, int index) {
    return parameters[index].value.b != 0;
}

static inline const char *steward_parameter_text(virTypedParameterPtr parameters, int index) {
    return parameters[index].value.s;
}

// Whether a field is this name: compared in place, so that an unchanged shape costs no String a tick.
static inline int steward_parameter_is_named(
    virTypedParameterPtr parameters, int index, const char *name, size_t length
) {
    return length < VIR_TYPED_PARAM_FIELD_LENGTH && memcmp(parameters[index].field, name, length) == 0
        && parameters[index].field[length] == 0;
}

// virNodeCPUStats and virNodeMemoryStats also hold char[80].
static inline const char *steward_node_cpu_field(virNodeCPUStatsPtr stats, int index) { return stats[index].field; }
static inline const char *steward_node_memory_field(virNodeMemoryStatsPtr stats, int index) { return stats[index].field; }
static inline const char *steward_node_model(const virNodeInfo *info) { return info->model; }

// VIR_DOMAIN_EVENT_CALLBACK is a cast macro, and each event has a callback type of its own: the casts live here.
static inline int steward_register_lifecycle(
    virConnectPtr connection, virConnectDomainEventCallback callback, void *opaque, virFreeCallback free
) {
    return virConnectDomainEventRegisterAny(
        connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(callback), opaque, free);
}

static inline int steward_register_device_added(
    virConnectPtr connection, virConnectDomainEventDeviceAddedCallback callback, void *opaque, virFreeCallback free
) {
    return virConnectDomainEventRegisterAny(
        connection, NULL, VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(callback), opaque, free);
}

static inline int steward_register_device_removed(
    virConnectPtr connection, virConnectDomainEventDeviceRemovedCallback callback, void *opaque, virFreeCallback free
) {
    return virConnectDomainEventRegisterAny(
        connection, NULL, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(callback), opaque, free);
}

static inline int steward_register_metadata_change(
    virConnectPtr connection, virConnectDomainEventMetadataChangeCallback callback, void *opaque, virFreeCallback free
) {
    return virConnectDomainEventRegisterAny(
        connection, NULL, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(callback), opaque, free);
}

static inline int steward_register_job_completed(
    virConnectPtr connection, virConnectDomainEventJobCompletedCallback callback, void *opaque, virFreeCallback free
) {
    return virConnectDomainEventRegisterAny(
        connection, NULL, VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(callback), opaque, free);
}

static inline int steward_register_migration_iteration(
    virConnectPtr connection, virConnectDomainEventMigrationIterationCallback callback, void *opaque, virFreeCallback free
) {
    return virConnectDomainEventRegisterAny(
        connection, NULL, VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, VIR_DOMAIN_EVENT_CALLBACK(callback), opaque, free);
}

// 1U << 31 does not import as the flag type that the call takes.
static inline unsigned int steward_enforce_stats_flag(void) { return VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS; }
static inline unsigned int steward_nowait_flag(void) { return VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT; }

#endif
