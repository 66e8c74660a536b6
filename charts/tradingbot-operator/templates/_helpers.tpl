{{- /* One installation a cluster: names are fixed, and the bots' NetworkPolicies know the operator by its name label. */ -}}
{{- define "tradingbot-operator.name" -}}tradingbot-operator{{- end -}}

{{- define "tradingbot-operator.selector" -}}
app.kubernetes.io/name: {{ include "tradingbot-operator.name" . }}
{{- end -}}

{{- define "tradingbot-operator.labels" -}}
{{ include "tradingbot-operator.selector" . }}
app.kubernetes.io/part-of: {{ include "tradingbot-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "tradingbot-operator.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .appVersion }}
{{- end -}}
{{- end -}}

{{- define "tradingbot-operator.subject" -}}
kind: ServiceAccount
name: {{ include "tradingbot-operator.name" . }}
namespace: {{ .Release.Namespace }}
{{- end -}}
