{{- define "cel2crm.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "cel2crm.labels" -}}
app.kubernetes.io/name: cel2crm
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "cel2crm.strimziLabels" -}}
strimzi.io/cluster: {{ .Values.strimzi.cluster }}
{{ include "cel2crm.labels" . }}
{{- end }}

{{- /* A name of Kafka's as a name of Kubernetes': small letters, digits, dots and hyphens. */}}
{{- define "cel2crm.resource" -}}
{{ . | lower | replace "_" "-" | trimPrefix "--" }}
{{- end }}

{{- define "cel2crm.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* cel2crm.yaml: the values' settings, with what the chart knows itself. */}}
{{- define "cel2crm.settings" -}}
{{- $settings := deepCopy .Values.settings }}
{{- $_ := set $settings "worker" (merge (dict "web_host" "0.0.0.0" "metrics_port" 9108) ($settings.worker | default dict)) }}
{{- $connect := $settings.connect | default dict }}
{{- $_ := set $connect "metrics_port" 9107 }}
{{- if and .Values.strimzi.enabled .Values.strimzi.connect.enabled }}
{{- $_ := set $connect "url" (printf "http://%s-connect-api:8083" (include "cel2crm.name" .)) }}
{{- $_ := set $connect "group_id" .Values.strimzi.connect.groupId }}
{{- $_ := set $connect "password_reference" "${directory:/mnt/database:password}" }}
{{- if .Values.login.enabled }}
{{- $_ := set $connect "kafka" (dict "sasl_username" (printf "%s-connect" $settings.kafka.topic_prefix) "sasl_password_reference" "${directory:/mnt/kafka:password}" "ssl_ca_file" "/mnt/ca/ca.crt") }}
{{- end }}
{{- end }}
{{- $_ := set $settings "connect" $connect }}
{{- if and .Values.login.enabled .Values.login.ca.secret }}
{{- $_ := set $settings.kafka "ssl_ca_file" "/etc/cel2crm/ca/ca.crt" }}
{{- end }}
{{- toYaml $settings }}
{{- end }}

{{- define "cel2crm.pbxs" -}}
{{- $names := list .Values.settings.pbx.name }}
{{- range .Values.settings.other_pbxs }}
{{- $names = append $names .name }}
{{- end }}
{{- toYaml $names }}
{{- end }}

{{- /* The login of a part: a dictionary of username, secret and key. */}}
{{- define "cel2crm.login" -}}
{{- $own := printf "%s-%s" .root.Values.settings.kafka.topic_prefix .part }}
{{- $default := dict "username" $own "secret" $own "key" "password" }}
{{- toYaml (merge (deepCopy (get .root.Values.login.users .part | default dict)) $default) }}
{{- end }}

{{- /* The pod of a worker or a job: root, part, component, args, resources, and probes where it has a port. */}}
{{- define "cel2crm.pod" -}}
{{- $login := include "cel2crm.login" . | fromYaml }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
containers:
  - name: cel2crm
    image: {{ include "cel2crm.image" .root | quote }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args: {{- toYaml .args | nindent 6 }}
    env:
      - {name: CEL2CRM_SETTINGS, value: /etc/cel2crm/cel2crm.yaml}
      {{- if .static }}
      - name: CEL2CRM_WORKER__GROUP_INSTANCE_ID
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      {{- end }}
      {{- if .root.Values.login.enabled }}
      - {name: CEL2CRM_KAFKA__SASL_USERNAME, value: {{ $login.username | quote }}}
      - {name: CEL2CRM_KAFKA__SASL_PASSWORD_FILE, value: /etc/cel2crm/kafka/password}
      {{- end }}
    {{- with .port }}
    ports:
      - {name: metrics, containerPort: {{ . }}}
    {{- end }}
    {{- if .static }}
    # Started when its brokers are there and its group can be joined; alive while its loop goes round and what waits on the
    # partitions that it holds is taken. Never by lag.
    startupProbe:
      httpGet: {path: /readyz, port: metrics}
      periodSeconds: 5
      failureThreshold: {{ div (int .root.Values.probes.startSeconds) 5 }}
    readinessProbe:
      httpGet: {path: /readyz, port: metrics}
    {{- end }}
    {{- if .port }}
    livenessProbe:
      httpGet: {path: /healthz, port: metrics}
      periodSeconds: {{ .root.Values.probes.livenessPeriodSeconds }}
      timeoutSeconds: 5
      failureThreshold: {{ .root.Values.probes.livenessFailures }}
    {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    resources: {{- toYaml .resources | nindent 6 }}
    volumeMounts:
      - {name: settings, mountPath: /etc/cel2crm/cel2crm.yaml, subPath: cel2crm.yaml, readOnly: true}
      - {name: tmp, mountPath: /tmp}
      {{- if .root.Values.login.enabled }}
      - {name: kafka, mountPath: /etc/cel2crm/kafka, readOnly: true}
      {{- if .root.Values.login.ca.secret }}
      - {name: ca, mountPath: /etc/cel2crm/ca, readOnly: true}
      {{- end }}
      {{- end }}
      {{- range .root.Values.secrets }}
      - {name: {{ printf "secret-%s" .name }}, mountPath: {{ printf "/etc/cel2crm/secrets/%s" .name }}, readOnly: true}
      {{- end }}
volumes:
  - name: settings
    configMap: {name: {{ include "cel2crm.name" .root }}-settings}
  - name: tmp
    emptyDir: {sizeLimit: 256Mi}
  {{- if .root.Values.login.enabled }}
  - name: kafka
    secret:
      secretName: {{ $login.secret }}
      defaultMode: 0440
      items: [{key: {{ $login.key }}, path: password}]
  {{- with .root.Values.login.ca }}
  {{- if .secret }}
  - name: ca
    secret:
      secretName: {{ .secret }}
      items: [{key: {{ .key }}, path: ca.crt}]
  {{- end }}
  {{- end }}
  {{- end }}
  {{- range .root.Values.secrets }}
  - name: {{ printf "secret-%s" .name }}
    secret: {secretName: {{ .secret }}, defaultMode: 0440}
  {{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
