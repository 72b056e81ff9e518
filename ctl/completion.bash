# bash completion for chronikctl: commands, options, and the names of topics that a reachable broker has
_chronikctl_topics() {
    chronikctl topic list "${given[@]}" --timeout 1 2>/dev/null | awk 'NR > 1 { print $1 }'
}

_chronikctl_groups() {
    chronikctl group list "${given[@]}" --timeout 1 2>/dev/null | awk 'NR > 1 { print $1 }'
}

_chronikctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=() given=() i options
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --bootstrap)
            given+=(--bootstrap "${COMP_WORDS[i + 1]:-}")
            i=$((i + 1))
            ;;
        --admin | --format | --timeout | --partitions | --replication-factor | --config | --wait | --token-file | --topic | --to) i=$((i + 1)) ;;
        -*) ;;
        *) words+=("${COMP_WORDS[i]}") ;;
        esac
    done
    case $prev in
    --format)
        mapfile -t COMPREPLY < <(compgen -W "json table" -- "$cur")
        return
        ;;
    --to)
        mapfile -t COMPREPLY < <(compgen -W "earliest latest" -- "$cur")
        return
        ;;
    --topic)
        mapfile -t COMPREPLY < <(compgen -W "$(_chronikctl_topics)" -- "$cur")
        return
        ;;
    --token-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --bootstrap | --admin | --timeout | --partitions | --replication-factor | --config | --wait) return ;;
    esac
    options="--bootstrap --admin --format --timeout --help --version"
    case "${words[*]:0:2}" in
    "topic list") options+=" --internal" ;;
    "topic create") options+=" --partitions --replication-factor --config --if-not-exists --validate-only" ;;
    "group reset-offsets") options+=" --topic --to --validate-only" ;;
    "topic delete") options+=" --if-exists" ;;
    "meta bootstrap") options+=" --token-file --force" ;;
    "meta add" | "meta promote" | "meta demote" | "meta remove" | "meta transfer" | "meta snapshot") options+=" --token-file" ;;
    status*) options+=" --wait" ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    case ${#words[@]}:${words[0]:-}:${words[1]:-} in
    0:*) mapfile -t COMPREPLY < <(compgen -W "topic group meta status" -- "$cur") ;;
    1:topic:) mapfile -t COMPREPLY < <(compgen -W "list describe create delete" -- "$cur") ;;
    1:group:) mapfile -t COMPREPLY < <(compgen -W "list describe delete reset-offsets" -- "$cur") ;;
    *:group:*) mapfile -t COMPREPLY < <(compgen -W "$(_chronikctl_groups)" -- "$cur") ;;
    1:meta:) mapfile -t COMPREPLY < <(compgen -W "status members add promote demote remove transfer bootstrap snapshot" -- "$cur") ;;
    *:topic:describe | *:topic:delete) mapfile -t COMPREPLY < <(compgen -W "$(_chronikctl_topics)" -- "$cur") ;;
    esac
}

complete -F _chronikctl chronikctl
