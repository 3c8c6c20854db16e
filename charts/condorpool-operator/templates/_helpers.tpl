{{/* Name of every object of a release: the release's name, with the chart's unless it is in there already; or what the values say. */}}
{{- define "condorpool-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The account that the operator's pod runs as, of this release or of whoever prepared it. */}}
{{- define "condorpool-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "condorpool-operator.fullname" .) -}}
{{- end -}}

{{/* What selects the operator's pod; immutable, so nothing that an upgrade may change. */}}
{{- define "condorpool-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "condorpool-operator.labels" -}}
{{ include "condorpool-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/*
What the operator may do in a namespace that it serves. Server-side apply needs `patch`, and `create` where the object is new.
Claims are never deleted by the operator: they go with their pool. Pods are deleted to replace outdated executors.
*/}}
{{- define "condorpool-operator.rules" -}}
- apiGroups: [condorpool.dev]
  resources: [condorpools]
  verbs: [get, list, watch]
- apiGroups: [condorpool.dev]
  resources: [condorpools/status]
  verbs: [patch]
# the admission controller OwnerReferencesPermissionEnforcement asks this of whoever sets blockOwnerDeletion
- apiGroups: [condorpool.dev]
  resources: [condorpools/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps, secrets, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
# whether the namespace of a pool is being deleted
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Calico 3.29 and newer ask for the tier's rights as well
- apiGroups: [projectcalico.org]
  resources: [networkpolicies, tier.networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
{{- end -}}
