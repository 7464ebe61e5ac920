package ingest

import "sync/atomic"

// Repair is what had to be done to a publisher's frames lest its viewers see
// a break. It is one of the constants, so that metrics stay bounded.
type Repair uint8

// The repairs.
const (
	// RepairBack is a track whose time went back, by a wrap or because the
	// encoder began to count anew.
	RepairBack Repair = iota
	// RepairForward is a track whose time went forward by more than the time
	// that really passed.
	RepairForward
	// RepairBase is a track that never had the time of the others.
	RepairBase
	// RepairNotRising is a frame whose DTS was not above its predecessor's.
	RepairNotRising
	// RepairNegative is a frame that was to be shown before it was decoded.
	RepairNegative
	// RepairSkew is a track that came well before the others of the same time:
	// it was held back.
	RepairSkew
	// RepairSilence is sound that was promised or went on, and did not come:
	// silence was put in its place.
	RepairSilence
	// RepairLateSound is a frame of sound that came when silence had taken its
	// place; it was left out.
	RepairLateSound

	repairKinds = iota
)

var repairNames = [repairKinds]string{
	RepairBack: "back", RepairForward: "forward", RepairBase: "base", RepairNotRising: "not_rising",
	RepairNegative: "negative_composition", RepairSkew: "skew", RepairSilence: "silence", RepairLateSound: "late_sound",
}

// String returns the repair's name as metrics and the API show it.
func (r Repair) String() string { return repairNames[r] }

// repairs count by kind.
type repairs [repairKinds]atomic.Uint64

// counts returns the kinds that ever came up.
func (r *repairs) counts() map[Repair]uint64 {
	all := map[Repair]uint64{}
	for k := range r {
		if n := r[k].Load(); n > 0 {
			all[Repair(k)] = n
		}
	}
	return all
}
