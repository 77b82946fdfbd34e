# scripts/pictures.sh: sourced by table1 and validate after lib.sh: a private server named $1 with the network, and the sets of pictures in tables.
# shellcheck shell=bash

data=${EDDH_DATA:?names the folder of pictures and networks}
database=$1
fashion=/usr/share/datasets/fashion-mnist
network="$data/networks/mobilenet_v2_imagenet.onnx"
[ -e "$network" ] || die "no network: $network"
declare -A archive=([caltech51]="$data/images/caltech51.tar" [coco256]="$data/images/coco256.tar"
	[mosaics]="$data/images/caltech51.tar"
	[flowers12]="$data/images/flowers12.tar"
	[cifar10]="$data/images/cifar10-train.tar.gz" [fashion]="$fashion/train-images-idx3-ubyte.gz")
# The table takes rows before these, validation those behind: what settings are chosen on is never measured. coco256 is too small to share.
declare -A kept_for_table=([caltech51]=1500 [mosaics]=1500 [cifar10]=10000 [fashion]=10000)

sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 -d "$database" "$@"
}

start_pictures() {
	scripts/install-deps
	make -s -j"$(nproc)" all build/demo/idx_rows
	make_work
	scripts/stage "$work/stage"
	use_stage "$work/stage"
	start_server "$database" 'shared_buffers = 256MB' 'max_wal_size = 4GB' "eddh.train_threads = ${THREADS:-$(nproc)}"
	createdb "$database"
	install -m 644 "$network" "$work/network.onnx"
	sql -c "CREATE EXTENSION eddh" -c "SELECT eddh_import_backbone('mobilenet_v2', pg_read_binary_file('$work/network.onnx'))"
}

# load_set SET MOST [SKIP]: fails where the pictures are not there. The set "mosaics" has several labels a picture, and wants scripts/install-deps --networks.
load_set() {
	local set=$1 most=$2 skip=${3:-0}

	if [ ! -e "${archive[$set]}" ]; then
		say "$set: not there, left out (${archive[$set]})"
		return 1
	fi
	sql -c "CREATE TABLE $set (id int PRIMARY KEY, labels text[], image bytea)"
	if [ "$set" = fashion ]; then
		# awk reads to the end: with head a closed pipe would be an error.
		build/demo/idx_rows "$fashion"/train-{images-idx3,labels-idx1}-ubyte.gz 1 0,1,2,3,4,5,6,7,8,9 |
			awk -F'\t' -v OFS='\t' -v most="$most" -v skip="$skip" 'NR > skip && NR <= skip + most { $2 = "{" $2 "}"; print }' | sql -c "COPY $set FROM STDIN"
	elif [ "$set" = mosaics ]; then
		# Of all the pictures behind: several make one.
		"$(find_python PIL)" -B tools/table1/mosaics.py "${archive[$set]}" 0 "$skip" | sql -c "COPY $set FROM STDIN"
	else
		python3 -B tools/table1/rows.py "${archive[$set]}" "$most" "$skip" | sql -c "COPY $set FROM STDIN"
	fi
}

# learned_from SET: how many of its pictures are learned from: half of those that are searched in, 2,000 at most; LEARN=all: all of them (0). Where all of them were,
# who learns by heart wins (docs/METHODS.md).
learned_from() {
	[ "${LEARN:-half}" = half ] || { echo 0; return; }
	sql -c "SELECT least(2000, (count(*) - $(queries_of "$1")) / 2) FROM $1"
}

# queries_of SET: a fifth, 1,000 at most, as src/train/compare.c has it.
queries_of() {
	sql -c "SELECT least(1000, count(*) / 5) FROM $1"
}
