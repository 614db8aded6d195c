{{/* Labels of every object. Takes the name label and the root context. */}}
{{- define "wirecheck.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* The objects have fixed names: documents and remedies use them, and a second release would only
send every DNS query twice. */}}
{{- define "wirecheck.metadata" -}}
name: {{ .object }}
{{- if not .clusterWide }}
namespace: {{ .root.Release.Namespace }}
{{- end }}
labels:
  {{- include "wirecheck.labels" (dict "name" (.name | default "wirecheck") "root" .root) | nindent 2 }}
{{- end }}

{{/* The inventory with the agents' namespace and, if runs create them, their image. */}}
{{- define "wirecheck.inventory" -}}
{{- $inventory := deepCopy .Values.inventory }}
{{- $agent := $inventory.agent | default dict }}
{{- $_ := set $agent "namespace" .Release.Namespace }}
{{- if not .Values.agents.daemonSet }}
{{- $_ := set $agent "image" .Values.image }}
{{- with .Values.imagePullSecrets }}
{{- $_ := set $agent "pull_secrets" . }}
{{- end }}
{{- end }}
{{- $_ := set $inventory "agent" $agent }}
{{- toYaml $inventory }}
{{- end }}
